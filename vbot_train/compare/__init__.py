"""Comparison of two or more runs or studies."""
