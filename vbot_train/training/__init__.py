"""One training run, from a config to ``result.yaml``; it can be interrupted and resumed at any time."""
