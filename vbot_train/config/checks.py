"""Validation of configs before anything trains. Imports neither torch nor mujoco, which load slowly."""

import ctypes
import functools
import re
import sys
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from vbot_train.config.bounds import (
    BOUNDS,
    CHOICES,
    COUNT,
    FINITE,
    FLAGS,
    RANGES,
    find_number_faults,
    find_value_faults,
)
from vbot_train.config.composition import ConfigError, find_checkpoint, join_lines, load_recorded_config, read_backend
from vbot_train.config.key_faults import find_key_faults

CUDA_DRIVERS = {"linux": "libcuda.so.1", "win32": "nvcuda.dll"}  # macOS has none
MIN_SAMPLES = 2  # per mini-batch: the variance of a single sample is NaN, and would make the running scalers NaN
EVALUATED = [  # numbers and ranges that an evaluation reads; env.standard_env_steps is for training=standard only
    key
    for key in (*BOUNDS, *RANGES)
    if key.startswith(("env.", "evaluation.", "simulation.")) and key != "env.standard_env_steps"
]
NOT_EVALUATED = [key for key in (*BOUNDS, *RANGES, *CHOICES, *FLAGS) if key not in EVALUATED]


def refuse(faults: Iterable[str]) -> None:
    """Raise the first fault, if there is one, as a ConfigError with a one-line message."""
    for fault in faults:
        raise ConfigError(join_lines(fault))


def check_config(config: Mapping[str, Any]) -> None:
    """Raise an error if a config cannot be trained.

    Args:
        config: A config composed by this version, in plain containers. Recorded configs may have other keys.

    Raises:
        ConfigError: Describes the first fault found.
    """
    check_values(config)
    refuse(_mini_batch_faults(config["training"], config["ppo"]))


def check_values(config: Mapping[str, Any]) -> None:
    """Check all that ``check_config`` does except the mini-batch size, which a search checks per configuration."""
    refuse(_faults(config))


def check_evaluation(config: Mapping[str, Any]) -> None:
    """Raise an error if an evaluation cannot run. Other keys are not read: the config may be of another version.

    Raises:
        ConfigError: Describes the first fault found.
    """
    refuse(_environment_faults(config))


def check_simulation(simulation: Mapping[str, Any]) -> None:
    """Raise an error if an option of ``conf/simulation/`` cannot run on this machine.

    Raises:
        ConfigError: Describes the first fault found.
    """
    refuse(_simulation_faults(simulation))


def _faults(config: Mapping[str, Any]) -> Iterator[str]:
    yield from find_key_faults(config)
    yield from _environment_faults(config)
    yield from find_value_faults(config, NOT_EVALUATED)
    yield from _network_faults(config["network"])
    yield from _length_faults(config)
    yield from _reward_faults(config["reward"])
    yield from _checkpoint_faults(config["init_from"], config["network"]["hidden_layer_sizes"])


def _environment_faults(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield the faults in the config groups that an evaluation reads."""
    yield from find_value_faults(config, EVALUATED)
    yield from _simulation_faults(config["simulation"])
    yield from _time_faults(config["env"])
    yield from _place_faults(config["env"])
    yield from _seed_faults(config)


def _seed_faults(config: Mapping[str, Any]) -> Iterator[str]:
    """Check that training, checkpoint selection and the final evaluation use different start states."""
    seed, selection, reported = config["seed"], *(config["evaluation"][key] for key in ("selection_seed", "seed"))
    if selection == reported:
        yield f"evaluation.selection_seed={selection}: must differ from evaluation.seed"
    if seed in (selection, reported):
        yield f"seed={seed}: is one of the evaluation's seeds, whose starts training must not see"


def _network_faults(network: Mapping[str, Any]) -> Iterator[str]:
    sizes = network["hidden_layer_sizes"]
    if not isinstance(sizes, list) or not sizes:
        yield f"network.hidden_layer_sizes={sizes}: must be a list of at least one layer width"
        return
    for place, size in enumerate(sizes):
        yield from find_number_faults(f"network.hidden_layer_sizes[{place}]", size, COUNT)


def _simulation_faults(simulation: Mapping[str, Any]) -> Iterator[str]:
    backend, backends = read_backend(simulation), CHOICES["simulation.backend"]
    if backend not in backends:
        yield f"simulation.backend={backend}: choose one of {', '.join(backends)}"
    if backend == "warp" and (missing := [key for key in ("device", "nconmax", "njmax") if key not in simulation]):
        yield f"simulation.{missing[0]}: is missing; simulation=warp has it"
    for key in simulation.keys() & {"nconmax", "njmax"}:
        yield from find_number_faults(f"simulation.{key}", simulation[key], COUNT)
    if backend != "warp":
        return
    if find_spec("mujoco_warp") is None:
        yield "simulation=warp: needs the extra `gpu`: pip install 'mujoco-warp>=4,<5'"
    yield from _device_faults(simulation["device"])


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


def _time_faults(env: Mapping[str, Any]) -> Iterator[str]:
    control_dt_s, latency = float(env["physics_dt_s"]) * env["physics_steps"], env["randomization"]["latency_steps"]
    steps, interval_s = float(env["episode_length_s"]) / control_dt_s, env["randomization"]["push"]["interval_s"]
    if not 0.5 < steps <= COUNT[1]:
        lasts = f"lasts {steps:g} control steps of {control_dt_s:g} s"
        yield f"env.episode_length_s={env['episode_length_s']}: {lasts}; must be at least 1 and at most {COUNT[1]}"
    if interval_s[0] <= control_dt_s:
        yield f"env.randomization.push.interval_s={interval_s}: must be longer than a control step, {control_dt_s:g} s"
    if latency >= steps:
        yield f"env.randomization.latency_steps={latency}: an episode has only {steps:g} control steps"


def _place_faults(env: Mapping[str, Any]) -> Iterator[str]:
    spawn = env["spawn"]
    if spawn["min_radius_m"] > spawn["max_radius_m"]:
        yield f"env.spawn.min_radius_m={spawn['min_radius_m']}: more than env.spawn.max_radius_m"
    if spawn["max_radius_m"] >= env["platform_radius_m"]:
        yield f"env.spawn.max_radius_m={spawn['max_radius_m']}: must lie on the platform"


def _length_faults(config: Mapping[str, Any]) -> Iterator[str]:
    training, rollout = config["training"], config["training"]["num_envs"] * config["ppo"]["rollouts"]
    if training["env_steps"] < rollout:
        yield f"training.env_steps={training['env_steps']}: less than one update's {rollout} samples"


def _mini_batch_faults(training: Mapping[str, Any], ppo: Mapping[str, Any]) -> Iterator[str]:
    rollout, mini_batches = training["num_envs"] * ppo["rollouts"], ppo["mini_batches"]
    if rollout // mini_batches < MIN_SAMPLES:
        sizes = f"training.num_envs={training['num_envs']} x ppo.rollouts={ppo['rollouts']}"
        yield (
            f"ppo.mini_batches={mini_batches}: each needs at least {MIN_SAMPLES} of the rollout's {rollout} samples"
            f" ({sizes})"
        )


def _checkpoint_faults(init_from: Any, hidden: list[int]) -> Iterator[str]:
    """Check that ``init_from`` is a zip file and, for a run, that the network matches; loading it checks the rest."""
    if init_from is None:
        return
    if not isinstance(init_from, str):
        yield f"init_from={init_from}: must be the directory of a run, or a checkpoint"
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


def _reward_faults(reward: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for name, params in reward.items():
        for key, value in params.items():
            yield from find_number_faults(f"reward.{name}.{key}", value, FINITE)
    if all(params["weight"] == 0 for params in reward.values()):
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
