"""Checks of values that must fit together. Imports neither torch nor mujoco, which load slowly."""

import ctypes
import functools
import re
import sys
import zipfile
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from vbot_train.config.composition import find_checkpoint, load_recorded_config
from vbot_train.config.key_types import COUNT_BOUNDS
from vbot_train.config.reward_terms import Reward
from vbot_train.config.schema import Config, Env, Evaluation, Ppo, RecordedConfig, Simulation, Training
from vbot_train.config.validation import refuse, validate_config, validate_recorded

CUDA_DRIVERS = {"linux": "libcuda.so.1", "win32": "nvcuda.dll"}  # macOS has none
MIN_SAMPLES = 2  # per mini-batch: the variance of a single sample is NaN, and would make the running scalers NaN


def check_config(config: Mapping[str, Any]) -> Config:
    """Return the typed config, if it can be trained.

    Args:
        config: A config composed by this version, in plain containers. Recorded configs may have other keys.

    Raises:
        ConfigError: Describes the first fault found.
    """
    checked = check_values(config)
    refuse(_mini_batch_faults(checked.training, checked.ppo))
    return checked


def check_values(config: Mapping[str, Any]) -> Config:
    """Check all that ``check_config`` does except the mini-batch size, which a search checks per configuration."""
    checked = validate_config(config)
    refuse(_faults(checked))
    return checked


def check_evaluation(config: Mapping[str, Any]) -> RecordedConfig:
    """Return the typed part of a run's recorded config that an evaluation reads, if the evaluation can run.

    Raises:
        ConfigError: Describes the first fault found.
    """
    checked = validate_recorded(config)
    refuse(_environment_faults(checked))
    return checked


def _faults(config: Config) -> Iterator[str]:
    yield from _environment_faults(config)
    yield from _length_faults(config)
    yield from _reward_faults(config.reward)
    yield from _checkpoint_faults(config.init_from, list(config.network.hidden_layer_sizes))


def _environment_faults(config: Config | RecordedConfig) -> Iterator[str]:
    """Yield the faults in the config groups that an evaluation reads."""
    yield from _simulation_faults(config.simulation)
    yield from _time_faults(config.env)
    yield from _place_faults(config.env)
    yield from _seed_faults(config.seed, config.evaluation)


def _seed_faults(seed: int, evaluation: Evaluation) -> Iterator[str]:
    """Check that training, checkpoint selection and the final evaluation use different start states."""
    if evaluation.selection_seed == evaluation.seed:
        yield f"evaluation.selection_seed={evaluation.seed}: must differ from evaluation.seed"
    if seed in (evaluation.selection_seed, evaluation.seed):
        yield f"seed={seed}: is one of the evaluation's seeds, whose starts training must not see"


def _simulation_faults(simulation: Simulation) -> Iterator[str]:
    if simulation.backend != "warp":
        return
    lacking = {"device": "device" not in simulation.model_fields_set}
    lacking |= {"nconmax": simulation.nconmax is None, "njmax": simulation.njmax is None}
    for key in (key for key, is_lacking in lacking.items() if is_lacking):
        yield f"simulation.{key}: is missing; simulation=warp has it"
    if find_spec("mujoco_warp") is None:
        yield "simulation=warp: needs the extra `gpu`: pip install 'mujoco-warp>=4,<5'"
    yield from _device_faults(simulation.device)


def _device_faults(device: Any) -> Iterator[str]:
    if device == "cpu":
        return
    gpu = re.fullmatch(r"cuda:(\d+)", "cuda:0" if device is None else str(device))
    if gpu is None:
        yield f"simulation.device={device}: must be null (the first GPU), cuda:0, cuda:1 and so on, or cpu"
    elif count_gpus() == 0:
        yield "simulation=warp: there is no NVIDIA GPU here; simulation.device=cpu runs it slowly"
    elif int(gpu[1]) >= count_gpus():
        yield f"simulation.device={device}: no such GPU, found {count_gpus()} from cuda:0 on"


def _time_faults(env: Env) -> Iterator[str]:
    dt_s, latency, interval_s = env.control_dt_s, env.randomization.latency_steps, env.randomization.push.interval_s
    steps = env.episode_length_s / dt_s
    if not 0.5 < steps <= COUNT_BOUNDS.high:
        lasts = f"lasts {steps:g} control steps of {dt_s:g} s"
        at_most = f"must be at least 1 and at most {COUNT_BOUNDS.high}"
        yield f"env.episode_length_s={env.episode_length_s}: {lasts}; {at_most}"
    if interval_s[0] <= dt_s:
        given = ", ".join(f"{end:g}" for end in interval_s)
        yield f"env.randomization.push.interval_s=[{given}]: must be longer than a control step, {dt_s:g} s"
    if latency >= steps:
        yield f"env.randomization.latency_steps={latency}: an episode has only {steps:g} control steps"


def _place_faults(env: Env) -> Iterator[str]:
    if env.spawn.min_radius_m > env.spawn.max_radius_m:
        yield f"env.spawn.min_radius_m={env.spawn.min_radius_m:g}: more than env.spawn.max_radius_m"
    if env.spawn.max_radius_m >= env.platform_radius_m:
        yield f"env.spawn.max_radius_m={env.spawn.max_radius_m:g}: must lie on the platform"


def _length_faults(config: Config) -> Iterator[str]:
    env_steps, rollout = config.training.env_steps, config.rollout_env_steps
    if env_steps < rollout:
        yield f"training.env_steps={env_steps}: less than one update's {rollout} samples"


def _mini_batch_faults(training: Training, ppo: Ppo) -> Iterator[str]:
    rollout = training.num_envs * ppo.rollouts
    if rollout // ppo.mini_batches < MIN_SAMPLES:
        sizes = f"training.num_envs={training.num_envs} x ppo.rollouts={ppo.rollouts}"
        yield (
            f"ppo.mini_batches={ppo.mini_batches}: each needs at least {MIN_SAMPLES} of the rollout's {rollout} samples"
            f" ({sizes})"
        )


def _checkpoint_faults(init_from: str | None, hidden: list[int]) -> Iterator[str]:
    """Check that ``init_from`` is a zip file and, for a run, that the network matches; loading it checks the rest."""
    if init_from is None:
        return
    try:
        path = find_checkpoint(Path(init_from))
        there = path.is_file()
    except OSError as error:  # for example, the name is too long
        yield f"init_from={init_from}: {error.strerror}"
        return
    if not there:
        yield f"init_from={init_from}: no such run or checkpoint"
    elif not zipfile.is_zipfile(path):
        yield f"init_from={init_from}: {path.name} is not a checkpoint"
    elif Path(init_from).is_dir():
        its_own = load_recorded_config(Path(init_from)).get("network", {}).get("hidden_layer_sizes")
        if its_own != hidden:
            yield f"init_from={init_from}: its network.hidden_layer_sizes={its_own}, this run's are {hidden}"


def _reward_faults(reward: Reward) -> Iterator[str]:
    if not reward.list_terms():
        yield "reward: every weight is 0"


@functools.cache
def count_gpus() -> int:
    """Count the NVIDIA GPUs that this process may use. Asks the driver, as importing torch or Warp takes seconds."""
    if sys.platform not in CUDA_DRIVERS:
        return 0
    try:
        driver = ctypes.CDLL(CUDA_DRIVERS[sys.platform])
    except OSError:
        return 0
    count = ctypes.c_int()
    failed = driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count))
    return 0 if failed else count.value
