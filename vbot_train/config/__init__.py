"""Composition of configs, and validation before anything trains."""
