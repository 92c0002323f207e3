"""The configuration: how it is composed, and what is refused before anything trains."""
