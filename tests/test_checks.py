"""What cannot train is refused in one line, before anything trains."""

import pytest

from vbot_train.checks import BOUNDS, RANGES, check_config
from vbot_train.config import ConfigError, compose_config, look_up


def test_every_bounded_key_exists():
    config = compose_config()
    for key in (*BOUNDS, *RANGES):
        look_up(config, key)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("ppo.learning_rate=-1", "ppo.learning_rate=-1: must be more than 0"),
        ("ppo.learning_rate=nan", "ppo.learning_rate=nan: must be more than 0"),
        ("ppo.learning_rate=fast", "ppo.learning_rate=fast: must be a number"),
        ("ppo.discount_factor=1.5", "ppo.discount_factor=1.5: must be at least 0 and at most 1"),
        ("ppo.rollouts=2.5", "ppo.rollouts=2.5: must be a whole number"),
        ("ppo.rollouts=true", "ppo.rollouts=True: must be a number"),
        ("ppo.mixed_precision=half", "ppo.mixed_precision=half: must be true or false"),
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


def test_a_rollout_smaller_than_its_mini_batches_is_counted_in_samples():
    # 4 robots x 8 control steps = 32 samples
    small = ["training.num_envs=4", "ppo.rollouts=8"]
    check_config(compose_config([*small, "ppo.mini_batches=32"]))
    with pytest.raises(ConfigError, match="32 samples"):
        check_config(compose_config([*small, "ppo.mini_batches=33"]))
