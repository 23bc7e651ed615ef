"""What is fast, against what, by how much."""
