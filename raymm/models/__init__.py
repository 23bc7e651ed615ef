"""Fusion models over a ragged stream of tokens: a missing modality costs nothing."""
