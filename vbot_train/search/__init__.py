"""Search: space, constraints, proposals and execution. Depends on Hydra and Optuna."""
