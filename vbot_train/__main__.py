"""``python -m vbot_train``: one training run, or with ``-m`` one search."""

import hydra
from omegaconf import DictConfig

from vbot_train.config import CONF_DIR

# What a config file may bring to life, and nothing else.
WHITELIST = ("vbot_train.search.callback.SearchCallback",)


@hydra.main(config_path=str(CONF_DIR), config_name="config", execution_whitelist=WHITELIST)
def main(config: DictConfig) -> None:
    """Train one configuration; Hydra's sweeper never comes here, it spawns ``vbot_train.train``."""
    from vbot_train.single import run_single

    run_single(config)


if __name__ == "__main__":
    main()
