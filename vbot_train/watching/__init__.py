"""A search while it runs, seen from outside: it is read, never touched."""
