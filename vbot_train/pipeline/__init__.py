"""automl: a chain of ordinary searches and trainings. Nothing here trains or searches; each stage is a command line."""
