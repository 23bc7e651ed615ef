"""What MLflow's own pages show of a sweep: curves over sparsity, pictures, data sets, models."""
