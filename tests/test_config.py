"""Every file under conf/ composes, names only what exists, and what cannot train is refused in one line."""

import pytest
from hydra.errors import ConfigCompositionException
from omegaconf import OmegaConf

from vbot_train.config import (
    BOUNDS,
    CONF_DIR,
    RANGES,
    ConfigError,
    check_config,
    compose_config,
    look_up,
    reward_kernels,
)
from vbot_train.result import METRICS

OPTIONS = [f"{path.parent.name}={path.stem}" for path in sorted(CONF_DIR.glob("*/*.yaml"))]


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_composes_and_could_train(option, monkeypatch):
    monkeypatch.setattr("vbot_train.config.available_gpus", lambda: 1)
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
    assert OmegaConf.load(path).keys() == reward_kernels().keys()


def test_every_bounded_key_exists():
    config = compose_config()
    for key in (*BOUNDS, *RANGES):
        look_up(config, key)


def test_presets_override_method_and_training():
    assert compose_config(["search=quick"])["training"] == compose_config(["training=quick"])["training"]
    assert compose_config(["search=fine_tune"])["search"]["constraints"].keys() == {"unstable", "no_learning"}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("ppo.learning_rate=-1", "ppo.learning_rate=-1: must be more than 0"),
        ("ppo.learning_rate=nan", "ppo.learning_rate=nan: must be more than 0"),
        ("ppo.learning_rate=fast", "ppo.learning_rate=fast: must be a number"),
        ("ppo.discount_factor=1.5", "ppo.discount_factor=1.5: must be at least 0 and at most 1"),
        ("ppo.rollouts=2.5", "ppo.rollouts=2.5: must be a whole number"),
        ("ppo.rollouts=true", "ppo.rollouts=True: must be a number"),
        ("ppo.learning_rate_schedule=cosine", "ppo.learning_rate_schedule=cosine: choose one of none, linear, kl"),
        ("network.hidden_layer_sizes=[]", "network.hidden_layer_sizes=[]: must be a list of at least one layer width"),
        ("network.hidden_layer_sizes=[64,0]", "every layer width must be a whole number above 0"),
        ("training.num_envs=0", "training.num_envs=0: must be at least 1"),
        ("training.env_steps=100", "training.env_steps=100: less than one update's 12288 samples"),
        ("ppo.mini_batches=20000", "ppo.mini_batches=20000: more than the rollout's 12288 samples"),
        ("+reward.flying.weight=1", "reward.flying: unknown term"),
        ("+reward.approach.sigma_m=1", "reward.approach=weight, max_m_s, sigma_m: takes the keys weight, max_m_s"),
        ("reward.approach.weight=inf", "reward.approach.weight=inf"),
        ("search.metric=speed", "search.metric=speed: unknown"),
        ("env.spawn.min_radius_m=6", "env.spawn.min_radius_m=6: more than env.spawn.max_radius_m"),
        ("env.spawn.max_radius_m=13", "env.spawn.max_radius_m=13: must lie on the platform"),
        ("env.randomization.friction=[-0.1,1]", "env.randomization.friction[0]=-0.1: must be at least 0"),
        ("env.randomization.friction=[1.2,0.4]", "env.randomization.friction=[1.2, 0.4]: the smallest is more"),
        ("env.randomization.payload_kg=3", "env.randomization.payload_kg=3: must be two numbers, [smallest, largest]"),
        ("env.randomization.payload_kg=[0,a]", "env.randomization.payload_kg[1]=a: must be a number"),
        ("env.randomization.motor_strength=[0,1]", "env.randomization.motor_strength[0]=0: must be more than 0"),
        ("env.randomization.com_offset_m=-0.1", "env.randomization.com_offset_m=-0.1: must be at least 0"),
        ("env.randomization.latency_steps=0.5", "env.randomization.latency_steps=0.5: must be a whole number"),
        ("env.randomization.latency_steps=-1", "env.randomization.latency_steps=-1: must be at least 0"),
        ("env.randomization.push.max_m_s=-1", "env.randomization.push.max_m_s=-1: must be at least 0"),
        (
            "env.randomization.push.interval_s=[0.02,4]",
            "env.randomization.push.interval_s=[0.02, 4]: must be longer than a control step, 0.02 s",
        ),
        ("env.randomization.noise.joint_pos_rad=-1", "env.randomization.noise.joint_pos_rad=-1: must be at least 0"),
        ("evaluation.seed=1000003", "must differ from evaluation.seed"),
        ("seed=2000003", "seed=2000003: is one of the evaluation's seeds"),
        ("init_from=nowhere", "init_from=nowhere: no such run or checkpoint"),
        ("init_from=pyproject.toml", "init_from=pyproject.toml: pyproject.toml is not a checkpoint"),
    ],
)
def test_what_cannot_train_is_refused_with_key_and_value(override, message):
    with pytest.raises(ConfigError) as error:
        check_config(compose_config([override]))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_reward_of_nothing_is_refused():
    config = compose_config()
    config["reward"] = {"torques": {"weight": 0.0}}
    with pytest.raises(ConfigError, match="every weight is 0"):
        check_config(config)


def test_an_unknown_key_is_refused_by_hydra():
    with pytest.raises(ConfigCompositionException, match="learning_rat"):
        compose_config(["ppo.learning_rat=1e-3"])


def test_a_rollout_smaller_than_its_mini_batches_is_counted_in_samples():
    # 4 robots x 8 control steps = 32 samples
    small = ["training.num_envs=4", "ppo.rollouts=8"]
    check_config(compose_config([*small, "ppo.mini_batches=32"]))
    with pytest.raises(ConfigError, match="32 samples"):
        check_config(compose_config([*small, "ppo.mini_batches=33"]))
