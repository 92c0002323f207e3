"""Checks that need more than the schema: this machine, files. Imports neither torch nor mujoco, which load slowly."""

import ctypes
import functools
import re
import sys
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from vbot_train.config.composition import find_checkpoint, load_recorded_config
from vbot_train.config.recorded import validate_recorded
from vbot_train.config.schema import Config, Ppo, RecordedConfig, Simulation, Training
from vbot_train.config.validation import refuse, validate_config
from vbot_train.extras import format_install

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


def check_evaluation(
    config: Mapping[str, Any], env_option: str | None = None, overrides: Sequence[str] = ()
) -> RecordedConfig:
    """Return what ``validate_recorded`` does, if the evaluation can run here.

    Raises:
        ConfigError: Describes the first fault found.
    """
    checked = validate_recorded(config, env_option, overrides)
    refuse(_simulation_faults(checked.simulation))
    refuse(_motrix_faults(checked))
    return checked


def _faults(config: Config) -> Iterator[str]:
    if config.simulation.backend == "motrix":
        yield "simulation=motrix: does not train, it evaluates: python -m vbot_train.evaluate RUN simulation=motrix"
    yield from _simulation_faults(config.simulation)
    yield from _checkpoint_faults(config.init_from, list(config.network.hidden_layer_sizes))


def _simulation_faults(simulation: Simulation) -> Iterator[str]:
    if simulation.backend != "warp":
        return
    lacking = {"device": "device" not in simulation.model_fields_set}
    lacking |= {"nconmax": simulation.nconmax is None, "njmax": simulation.njmax is None}
    for key in (key for key, is_lacking in lacking.items() if is_lacking):
        yield f"simulation.{key}: is missing; simulation=warp has it"
    if find_spec("mujoco_warp") is None:
        yield f"simulation=warp: needs the extra `gpu`: {format_install('gpu')}"
    yield from _device_faults(simulation.device)


def _motrix_faults(config: RecordedConfig) -> Iterator[str]:
    """Find what keeps MotrixSim from evaluating."""
    if config.simulation.backend != "motrix":
        return
    if find_spec("motrixsim") is None:
        yield f"simulation=motrix: needs the extra `motrix`: {format_install('motrix')}"
    randomization = config.env.randomization
    for key in randomization.body_keys:
        value = getattr(randomization, key)
        given = list(value) if isinstance(value, tuple) else value
        yield f"env.randomization.{key}={given}: simulation=motrix has one body for all robots, as in --env section001"
    if randomization.pushes:
        yield f"env.randomization.push.max_m_s={randomization.push.max_m_s:g}: simulation=motrix pushes no robots"


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
