"""The learner: the only place that knows skrl."""
