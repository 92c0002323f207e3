"""Analysis of a study, from its database and its trials' files; never imports Hydra, torch or mujoco."""
