"""Held-out episodes of a policy: what they come to, and how they look."""
