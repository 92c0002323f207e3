"""Evaluation of a policy on held-out episodes: metrics, outcomes and videos."""
