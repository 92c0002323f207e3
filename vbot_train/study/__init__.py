"""Files and database of a study."""
