"""Every file under conf/ composes, and names only what exists."""

import pytest
from hydra.errors import ConfigCompositionException
from omegaconf import OmegaConf

from vbot_train.config.checks import check_config
from vbot_train.config.composition import CONF_DIR, compose_config, load_recorded_config, look_up, quote_option
from vbot_train.config.reward_terms import Reward
from vbot_train.config.validation import validate_config
from vbot_train.training.metrics import METRICS

OPTIONS = [
    f"{path.parent.name}={path.stem}" for path in sorted(CONF_DIR.glob("*/*.yaml")) if path.parent.name != "pipeline"
]
EVALUATES_ONLY = ["simulation=motrix"]  # tests/env/test_motrix.py


@pytest.mark.parametrize("option", [option for option in OPTIONS if option not in EVALUATES_ONLY])
def test_every_option_composes_and_could_train(option, monkeypatch):
    monkeypatch.setattr("vbot_train.config.checks.count_gpus", lambda: 1)
    config = compose_config([option])
    check_config(config)
    assert config["search"]["metric"] in METRICS


@pytest.mark.parametrize("path", sorted(CONF_DIR.glob("search/*.yaml")), ids=lambda path: path.stem)
def test_every_key_that_a_preset_searches_exists(path):
    config = compose_config([f"search={path.stem}"])
    for key in OmegaConf.load(path).hydra.sweeper.params:
        look_up(config, key)


@pytest.mark.parametrize("path", sorted(CONF_DIR.glob("reward/*.yaml")), ids=lambda path: path.stem)
def test_every_reward_option_lists_every_term(path):
    assert OmegaConf.load(path).keys() == Reward.model_fields.keys()


def test_presets_override_method_and_training():
    assert compose_config(["search=quick"])["training"] == compose_config(["training=quick"])["training"]
    assert compose_config(["search=fine_tune"])["search"]["constraints"].keys() == {"unstable", "no_learning"}


@pytest.mark.parametrize("name", ["256", "1e3", "1_000", "null", "true"])
def test_an_option_named_like_a_number_is_quoted_for_hydra(name):
    assert quote_option(f"network={name}") == f"network='{name}'"


@pytest.mark.parametrize(
    "argument",
    [
        *("network=small", "network=64x64", "network=a-b.c", "network='256'", "network=256,512", "network=", "network"),
        *("ppo.rollouts=24", "seed=7", "workers=2", "storage=null", "--config-dir=256", "~network", "+network.x=1"),
    ],
)
def test_every_other_argument_stays_as_it_was_typed(argument):
    assert quote_option(argument) == argument


def test_an_unknown_key_is_refused_by_hydra():
    with pytest.raises(ConfigCompositionException, match="learning_rat"):
        compose_config(["ppo.learning_rat=1e-3"])


def test_a_config_from_before_the_scheduler_is_read_as_one_without_and_loses_its_pruner(tmp_path):
    then = compose_config()
    del then["scheduler"]
    then["pruner"] = {"_target_": "optuna.pruners.NopPruner"}
    (tmp_path / ".hydra").mkdir()
    OmegaConf.save(then, tmp_path / ".hydra" / "config.yaml")
    config = load_recorded_config(tmp_path)
    assert "pruner" not in config and validate_config(config).scheduler.rungs == ()
