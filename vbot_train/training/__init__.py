"""One training: config in, ``result.yaml`` out. It can be stopped at any moment and continued."""
