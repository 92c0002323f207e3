"""Two or more runs or studies, side by side."""
