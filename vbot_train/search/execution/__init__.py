"""How the trials of a search run: the trial queue, the worker lock, the processes, the budget."""
