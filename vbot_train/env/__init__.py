"""The navigation task: robot, physics, observations, rewards, terminations. Knows no learning library."""
