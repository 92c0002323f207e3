"""Searching: what varies, which configurations are allowed, which to try next. Knows Hydra and Optuna."""
