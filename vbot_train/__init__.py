"""Hyperparameter search for the VBot quadruped's navigation task."""
