"""Search space, constraints and proposals of a search."""
