"""Contrastive terms over a global batch."""
