"""Data sets that Hugging Face `datasets` wrote to a folder: read as they are, or packed."""
