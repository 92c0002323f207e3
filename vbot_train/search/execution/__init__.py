"""How the trials of a search run: who takes which, in which process, and how it ends."""
