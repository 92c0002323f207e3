"""How a study is doing, while it runs and afterwards."""
