"""Estimators of parameter importance and of their uncertainty."""
