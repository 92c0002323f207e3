"""How important each parameter is: estimators, and how far they can be trusted."""
