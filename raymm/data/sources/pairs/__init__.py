"""Sets of pairs (images and texts, texts and texts): one reader for each official layout."""
