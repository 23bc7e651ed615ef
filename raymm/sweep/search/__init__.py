"""Search of hyperparameters: one Optuna study for each model at each modal sparsity."""
