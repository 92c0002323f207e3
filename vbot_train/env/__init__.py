"""The navigation task: robot, physics, observations, rewards, terminations. Imports no learning library.

Importing this package registers ``VBotNavigation-v0`` with Gymnasium.
"""

import os

import gymnasium

PROCESS = os.getpid()  # the process that imported this package; a different id at run time means a forked process

gymnasium.register(
    id="VBotNavigation-v0",
    entry_point="vbot_train.env.gym:VBotNavigation",
    vector_entry_point="vbot_train.env.gym:VBotNavigationVector",
)
