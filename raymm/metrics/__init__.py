"""What a trained model's embeddings are worth: geometry, retrieval, linear probes."""
