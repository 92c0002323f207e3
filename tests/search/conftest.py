import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from vbot_train.config import CONF_DIR
from vbot_train.search.space import Space, split_overrides


@pytest.fixture
def make_space():
    """Build a Space as a search does, from a preset's params and the command line."""

    def make(*arguments: str) -> Space:
        with initialize_config_dir(str(CONF_DIR)):
            fixed = [line for line in arguments if "," not in line and "(" not in line]
            config = compose("config", overrides=fixed, return_hydra_config=True)
            loader = GlobalHydra.instance().config_loader()
            distributions, fixed = split_overrides(dict(config.hydra.sweeper.params or {}), arguments)
            return Space(distributions, fixed, config, loader)

    return make
