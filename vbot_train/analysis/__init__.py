"""What a study says. Reads its database and its trials' files; never Hydra, torch or mujoco."""
