"""Data sets of several modalities with holes: reading, masking, splitting and batching them."""
