"""The navigation task: robot, physics, observations, rewards, terminations. Knows no learning library.

Importing this package tells Gymnasium about ``VBotNavigation-v0``.
"""

import os

import gymnasium

PROCESS = os.getpid()  # that imported this package; another one that finds it imported is a fork of it

gymnasium.register(
    id="VBotNavigation-v0",
    entry_point="vbot_train.env.gym:VBotNavigation",
    vector_entry_point="vbot_train.env.gym:VBotNavigationVector",
)
