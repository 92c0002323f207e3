"""What tests of chains share: a chain as the command line composes it."""

import pytest
from hydra import compose, initialize_config_dir

from vbot_train.config.composition import CONF_DIR, to_plain
from vbot_train.pipeline.chain import build_chain


def compose_automl(*typed):
    with initialize_config_dir(str(CONF_DIR)):
        return to_plain(compose("automl", overrides=list(typed)))


@pytest.fixture
def make_chain(tmp_path):
    """Build the chain of a command line; its folder is ``multirun/n`` in an empty directory."""

    def make(*typed, conf_dir=CONF_DIR):
        given = [*typed, "name=n"]
        return build_chain(compose_automl(*given), given, [], conf_dir, tmp_path / "multirun")

    return make
