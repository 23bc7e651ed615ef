"""Frozen pretrained encoders of texts and images, and the cache of what they return."""
