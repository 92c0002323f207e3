"""What cannot train is refused in one line, before anything trains."""

import copy
import ctypes
from collections.abc import Mapping

import pytest

from vbot_train.config.checks import check_config, check_evaluation, check_values, count_gpus
from vbot_train.config.composition import ConfigError, compose_config
from vbot_train.config.keys import find_bounds
from vbot_train.search.space.constraints import compile_rules
from vbot_train.search.spec import count_workers
from vbot_train.search.stages import plan_stages
from vbot_train.study.errors import StudyError
from vbot_train.study.storage_url import hide_password


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
        ("network.hidden_layer_sizes=[64,0]", "network.hidden_layer_sizes[1]=0: must be at least 1"),
        ("training.num_envs=0", "training.num_envs=0: must be at least 1"),
        ("training.env_steps=100", "training.env_steps=100: less than one update's 12288 samples"),
        ("+reward.flying.weight=1", "reward.flying.weight=1: no such key; there are reward.approach, "),
        ("+reward.approach.sigma_m=1", "reward.approach.sigma_m=1: no such key; there are reward.approach.weight, "),
        ("reward.approach.weight=inf", "reward.approach.weight=inf"),
        ("search.metric=speed", "search.metric=speed: choose one of episode_reward_mean, "),
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
        (f"init_from={'a' * 300}", "a: File name too long"),
        ("env.episode_length_s=0.009", "env.episode_length_s=0.009: lasts 0.45 control steps of 0.02 s"),
        ("env.randomization.latency_steps=500", "env.randomization.latency_steps=500: an episode has only 500 control"),
        ("ppo.learning_rate=${nothing}", "ppo.learning_rate: Interpolation key 'nothing' not found"),
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


def test_a_mini_batch_of_one_sample_is_refused():
    # 4 robots x 8 control steps = 32 samples: 16 mini-batches of two, 17 of one
    small = ["training.num_envs=4", "ppo.rollouts=8"]
    check_config(compose_config([*small, "ppo.mini_batches=16"]))
    with pytest.raises(ConfigError, match=r"^ppo.mini_batches=17: .* 2 of the rollout's 32 samples .*num_envs=4 x ppo"):
        check_config(compose_config([*small, "ppo.mini_batches=17"]))


@pytest.mark.parametrize(
    ("override", "wanted"),
    [
        ("seed=4294967296", "at most 4294967295"),  # 2 ** 32; NumPy takes none larger than 2 ** 32 - 1
        ("evaluation.seed=18446744073709551616", "at most 4294967295"),
        ("evaluation.selection_seed=4294967296", "at most 4294967295"),
        ("search.test.seeds=[4294967296]", "at most 4294967295"),
        ("search.confirm.seeds=[4294967296]", "at most 4294967295"),
        ("search.test.evaluation_seed=4294967296", "at most 4294967295"),
        ("search.confirm.seeds=1001", "at most 1000"),
        ("training.torch_threads=100000", "at most 1024"),
        ("simulation.threads=100000", "at most 1024"),
        ("workers=100000", "at most 1024"),
        (f"ppo.learning_epochs={'1' * 320}", "at most 2147483647"),
        (f"ppo.learning_rate={'1' * 320}", "at most 1000000000"),
        ("search.trial_minutes=1e308", "at most 1000000"),
        ("budget_hours=1e308", "at most 1000000"),
    ],
)
def test_what_is_too_large_for_a_library_is_refused_with_the_bound(override, wanted):
    with pytest.raises(ConfigError) as error:
        check_values(compose_config([override]))
    key = override.split("=")[0]
    assert str(error.value).startswith(key) and wanted in str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"workrs": 1}, "workrs=1: no such key; did you mean workers?"),
        ({"learning_rate": 1e-3}, "learning_rate=0.001: no such key; did you mean ppo.learning_rate?"),
        ({"training": {"env_stepps": 5000}}, "training.env_stepps=5000: no such key; did you mean training.env_steps?"),
        ({"ppo": {"num_envs": 8}}, "ppo.num_envs=8: no such key; did you mean training.num_envs?"),
        ({"evaluation": {"sed": 5}}, "evaluation.sed=5: no such key; did you mean evaluation.seed?"),
        (
            {"network": {"activation": "relu"}},
            "network.activation=relu: no such key; there are network.hidden_layer_sizes",
        ),
        ({"env": {"spawn": 5}}, "env.spawn=5: must have the keys joint_noise_rad, min_radius_m, max_radius_m"),
        ({"reward": {"approch": {"weight": 1}}}, "reward.approch.weight=1: no such key; did you mean reward.approach?"),
    ],
)
def test_a_key_that_nothing_reads_is_refused_with_the_nearest_right_one(config, change, message):
    for check in (check_config, check_values):
        with pytest.raises(ConfigError) as error:
            check(merged(config, change))
        assert str(error.value) == message


def test_hidden_layers_in_place_of_hidden_layer_sizes_names_both(config):
    message = r"network.hidden_layers=\[64\]: no such key; did you mean network.hidden_layer_sizes\?"
    with pytest.raises(ConfigError, match=message):
        check_config(config | {"network": {"hidden_layers": [64]}})


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"experiment": {"ppo": {"learning_rate": 5e-4}}}, "experiment.ppo.learning_rate=0.0005"),
        ({"method": {"hydra": {"sweeper": {"sampler": {"seed": 1}}}}}, "method.hydra.sweeper.sampler.seed=1"),
        ({"search": {"search": {"name": "mine"}}}, "search.search.name=mine"),
        ({"search": {"hydra": {"sweeper": {"params": {"ppo.rollouts": "choice(1)"}}}}}, "search.hydra.sweeper.params"),
    ],
)
def test_a_recipe_without_its_header_is_told_what_its_file_needs(config, change, key):
    with pytest.raises(ConfigError) as error:
        check_config(merged(config, change))
    assert str(error.value).startswith(key)
    assert f"from an option of {key.split('.')[0]}, its file must begin with the line # @package _global_" in str(
        error.value
    )


def test_a_record_of_another_version_can_be_evaluated(config):
    older = merged(config, {"search": {"since_renamed": 1}, "of_old": 2, "ppo": {"since_gone": 3}})
    older = without(without(older, ["env", "task"]), ["training", "torch_threads"])
    check_evaluation(older)
    with pytest.raises(ConfigError, match=r"env\.goal_radius_m=-1: must be more than 0"):
        check_evaluation(merged(older, {"env": {"goal_radius_m": -1}}))


# Below: every key of the composed configuration, so that a key that is added tomorrow is walked too.


def merged(config, change):
    """A copy of nested mappings with some values changed."""
    copied = copy.copy(config)
    for key, value in change.items():
        inner = isinstance(value, Mapping) and isinstance(copied.get(key), Mapping)
        copied[key] = merged(copied[key], value) if inner else value
    return copied


def keys_of(config, path=()):
    """The path to every key: of groups too."""
    for key, value in config.items():
        yield (*path, key)
        if isinstance(value, Mapping):
            yield from keys_of(value, (*path, key))


def with_value(config, path, value):
    key, *rest = path
    return {**config, key: with_value(config[key], rest, value) if rest else value}


def without(config, path):
    key, *rest = path
    inner = {key: without(config[key], rest)} if rest else {}
    return {name: value for name, value in config.items() if name != key} | inner


def begin_single(config):
    """What a single run reads before it trains, the rules among it."""
    checked = check_config(config)
    compile_rules(checked.search.constraints)


def begin_search(config):
    """What a search reads at its start, but for earlier studies that it names."""
    checked = check_values(config)
    compile_rules(checked.search.constraints)
    hide_password(checked.storage)
    plan_stages(checked.search)
    count_workers(checked.workers, checked.simulation)
    assert checked.training_seeds and checked.trial_env_steps > 0


@pytest.fixture(scope="module")
def every_key():
    """A configuration with every key that an option of some group has."""
    return compose_config(["simulation=warp", "simulation.device=cpu", "scheduler=halving"])


@pytest.fixture(params=[begin_single, begin_search])
def fault_of(request, monkeypatch):
    """Check a configuration. Returns the line that refuses it, None where it is accepted."""
    monkeypatch.setattr(
        "vbot_train.config.checks.find_spec", lambda name: True
    )  # mujoco_warp and a GPU, wherever it runs
    monkeypatch.setattr("vbot_train.config.checks.count_gpus", lambda: 1)

    def check(config):
        try:
            request.param(config)
        except (ConfigError, StudyError) as error:
            assert "\n" not in str(error) and str(error).strip()
            return str(error)
        return None

    return check


def test_the_configuration_that_is_walked_is_accepted(every_key, fault_of):
    assert fault_of(every_key) is None


def test_every_misspelt_key_is_refused(every_key, fault_of):
    for *groups, key in keys_of(every_key):
        path = [*groups, f"{key}s"]
        fault = fault_of(with_value(every_key, path, 1))
        assert fault.startswith(f"{'.'.join(path)}=1: no such key; ")


def test_every_missing_key_is_refused(every_key, fault_of):
    for path in keys_of(every_key):
        fault, key = fault_of(without(every_key, path)), ".".join(path)
        if path[0] == "reward" and len(path) == 2:
            assert fault is None  # a term that is not listed is not paid
        else:
            assert fault.startswith(f"{key}: is missing")


WRONG_TYPES = ["a word", "two\nlines", "", [], ["a", {}], {}, {"a": 1}, None, True]
WRONG_SIZES = [1.5, 0, -1, 10**400, 1e308, -1e308, float("nan"), float("inf"), [1e308, 1e308], [10**400]]


def test_every_value_of_a_wrong_type_is_refused_under_its_key_or_is_a_valid_one(every_key, fault_of):
    for path in keys_of(every_key):
        named = ".".join(path)
        for wrong in WRONG_TYPES:
            fault = fault_of(with_value(every_key, path, wrong))
            assert fault is None or fault.startswith(named), wrong


def test_every_value_of_a_wrong_size_is_refused_under_a_key_or_is_a_valid_one(every_key, fault_of):
    keys = tuple(".".join(path) for path in keys_of(every_key))
    for path in keys_of(every_key):
        for wrong in WRONG_SIZES:
            fault = fault_of(with_value(every_key, path, wrong))
            assert fault is None or fault.startswith(keys)


def test_no_number_may_be_beyond_what_float32_can_square(every_key, fault_of):
    numbers = [path for path in keys_of(every_key) if find_bounds(".".join(path)) is not None]
    assert len(numbers) > 60
    for path in numbers:
        assert fault_of(with_value(every_key, path, 1e20)) is not None, path


@pytest.fixture
def gpus(monkeypatch):
    """``gpus("win32")``: the GPUs counted there, and the drivers that were asked; each knows of two."""

    class Driver:
        def cuInit(self, flags):
            return 0

        def cuDeviceGetCount(self, count):
            count._obj.value = 2
            return 0

    def count(platform):
        asked = []
        monkeypatch.setattr("sys.platform", platform)
        monkeypatch.setattr(ctypes, "CDLL", lambda name: asked.append(name) or Driver())
        return count_gpus.__wrapped__(), asked

    return count


@pytest.mark.parametrize(
    ("platform", "found"),
    [("linux", (2, ["libcuda.so.1"])), ("win32", (2, ["nvcuda.dll"])), ("darwin", (0, []))],
)
def test_each_systems_own_driver_counts_its_gpus(gpus, platform, found):
    assert gpus(platform) == found
