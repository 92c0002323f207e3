"""The PPO agent and its training loop; depends on skrl."""
