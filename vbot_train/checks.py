"""Refuse a configuration that cannot run. Imports neither torch nor mujoco: it runs before anything trains."""

import ast
import ctypes
import functools
import math
import re
import zipfile
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from vbot_train.config import ConfigError, backend_of, checkpoint_of, load_recorded_config, look_up
from vbot_train.result import METRICS

REWARDS_PY = Path(__file__).parent / "env" / "rewards.py"
SCHEDULES = ("none", "linear", "kl")
BACKENDS = ("mujoco", "warp")

# Where a number may lie: (smallest, largest, smallest is allowed, must be whole).
Bounds = tuple[float, float, bool, bool]
POSITIVE: Bounds = (0, math.inf, False, False)
NOT_NEGATIVE: Bounds = (0, math.inf, True, False)
SHARE: Bounds = (0, 1, True, False)
COUNT: Bounds = (1, math.inf, True, True)
WHOLE: Bounds = (0, math.inf, True, True)

BOUNDS: dict[str, Bounds] = {
    "seed": WHOLE,
    "evaluation.seed": WHOLE,
    "evaluation.selection_seed": WHOLE,
    "ppo.learning_rate": POSITIVE,
    "ppo.discount_factor": SHARE,
    "ppo.gae_lambda": SHARE,
    "ppo.ratio_clip": POSITIVE,
    "ppo.value_clip": NOT_NEGATIVE,
    "ppo.grad_norm_clip": NOT_NEGATIVE,
    "ppo.entropy_loss_scale": NOT_NEGATIVE,
    "ppo.value_loss_scale": NOT_NEGATIVE,
    "ppo.kl_threshold": NOT_NEGATIVE,
    "ppo.kl_target": POSITIVE,
    "ppo.initial_std": (0, math.e, False, False),  # the policy bounds it there
    "ppo.learning_epochs": COUNT,
    "ppo.mini_batches": COUNT,
    "ppo.rollouts": COUNT,
    "training.num_envs": COUNT,
    "training.env_steps": COUNT,
    "training.evaluations": COUNT,
    "training.selection_episodes": COUNT,
    "training.evaluation_episodes": COUNT,
    "env.episode_length_s": POSITIVE,
    "env.physics_dt_s": POSITIVE,
    "env.physics_steps": COUNT,
    "env.goal_radius_m": POSITIVE,
    "env.platform_radius_m": POSITIVE,
    "env.max_tilt_deg": (0, 180, False, False),
    "env.inner_fence_radius_m": POSITIVE,
    "env.max_joint_speed_rad_s": POSITIVE,
    "env.spawn.joint_noise_rad": NOT_NEGATIVE,
    "env.spawn.min_radius_m": NOT_NEGATIVE,
    "env.spawn.max_radius_m": POSITIVE,
    "env.action.scale_rad": POSITIVE,
    "env.action.smoothing": SHARE,
    "env.randomization.com_offset_m": NOT_NEGATIVE,
    "env.randomization.latency_steps": WHOLE,
    "env.randomization.push.max_m_s": NOT_NEGATIVE,
    "env.randomization.noise.base_lin_vel_m_s": NOT_NEGATIVE,
    "env.randomization.noise.base_ang_vel_rad_s": NOT_NEGATIVE,
    "env.randomization.noise.projected_gravity": NOT_NEGATIVE,
    "env.randomization.noise.joint_pos_rad": NOT_NEGATIVE,
    "env.randomization.noise.joint_vel_rad_s": NOT_NEGATIVE,
}
MAY_BE_NULL: dict[str, Bounds] = {
    "simulation.threads": COUNT,
    "training.torch_threads": COUNT,
}
RANGES: dict[str, Bounds] = {  # [smallest, largest], and where both may lie
    "env.randomization.friction": NOT_NEGATIVE,
    "env.randomization.payload_kg": NOT_NEGATIVE,
    "env.randomization.motor_strength": POSITIVE,
    "env.randomization.push.interval_s": POSITIVE,
}


def check_config(config: Mapping[str, Any]) -> None:
    """Refuse a configuration that cannot train.

    Args:
        config: The composed config, in plain containers.

    Raises:
        ConfigError: With the first fault found.
    """
    check_values(config)
    training, ppo = config["training"], config["ppo"]
    rollout = training["num_envs"] * ppo["rollouts"]
    if ppo["mini_batches"] > rollout:
        raise ConfigError(
            f"ppo.mini_batches={ppo['mini_batches']}: more than the rollout's {rollout} samples"
            f" (training.num_envs={training['num_envs']} x ppo.rollouts={ppo['rollouts']})"
        )


def check_values(config: Mapping[str, Any]) -> None:
    """``check_config`` but for the size of the mini-batches, which a search holds against single configurations."""
    for fault in _faults(config):
        raise ConfigError(fault)


def check_simulation(simulation: Mapping[str, Any]) -> None:
    """Refuse an option of ``conf/simulation/`` that cannot run on this machine.

    Raises:
        ConfigError: With the first fault found.
    """
    for fault in _simulation_faults(simulation):
        raise ConfigError(fault)


def _faults(config: Mapping[str, Any]) -> Iterator[str]:
    for bounded, faults in ((BOUNDS, number_faults), (RANGES, range_faults)):
        for key, bounds in bounded.items():
            try:
                yield from faults(key, look_up(config, key), bounds)
            except KeyError:
                yield f"{key}: is missing"
    for key, bounds in MAY_BE_NULL.items():
        if (value := look_up(config, key)) is not None:
            yield from number_faults(key, value, bounds)
    yield from _simulation_faults(config["simulation"])
    yield from _network_faults(config["network"])
    yield from _ppo_faults(config["ppo"])
    yield from _size_faults(config)
    yield from _push_faults(config["env"])
    yield from _reward_faults(config["reward"])
    yield from _checkpoint_faults(config["init_from"], config["network"]["hidden_layer_sizes"])
    metric = config["search"]["metric"]
    if metric not in METRICS:
        yield f"search.metric={metric}: unknown, choose one of {', '.join(METRICS)}"
    yield from _seed_faults(config["seed"], **config["evaluation"])


def number_faults(key: str, value: Any, bounds: Bounds) -> Iterator[str]:
    """What is wrong with a number: nothing, or one line with its key."""
    low, high, closed, whole = bounds
    if isinstance(value, bool) or not isinstance(value, int | float):
        yield f"{key}={value}: must be a number"
    elif whole and not isinstance(value, int):
        yield f"{key}={value}: must be a whole number"
    elif not math.isfinite(value) or value > high or value < low or (value == low and not closed):
        wanted = f"{'at least' if closed else 'more than'} {low}"
        yield f"{key}={value}: must be {wanted}" + (f" and at most {high}" if math.isfinite(high) else "")


def range_faults(key: str, value: Any, bounds: Bounds) -> Iterator[str]:
    """What is wrong with a range: nothing, or one line with its key."""
    if not isinstance(value, list) or len(value) != 2:
        yield f"{key}={value}: must be two numbers, [smallest, largest]"
        return
    faults = [fault for i, end in enumerate(value) for fault in number_faults(f"{key}[{i}]", end, bounds)]
    yield from faults
    if not faults and value[0] > value[1]:
        yield f"{key}={value}: the smallest is more than the largest"


def _seed_faults(training_seed: int, selection_seed: int, seed: int) -> Iterator[str]:
    """Training, choosing and reporting use different starts."""
    if selection_seed == seed:
        yield f"evaluation.selection_seed={selection_seed}: must differ from evaluation.seed"
    if training_seed in (selection_seed, seed):
        yield f"seed={training_seed}: is one of the evaluation's seeds, whose starts training must not see"


def _network_faults(network: Mapping[str, Any]) -> Iterator[str]:
    sizes = network["hidden_layer_sizes"]
    if not isinstance(sizes, list) or not sizes:
        yield f"network.hidden_layer_sizes={sizes}: must be a list of at least one layer width"
    elif not all(isinstance(size, int) and not isinstance(size, bool) and size > 0 for size in sizes):
        yield f"network.hidden_layer_sizes={sizes}: every layer width must be a whole number above 0"


def _simulation_faults(simulation: Mapping[str, Any]) -> Iterator[str]:
    if backend_of(simulation) not in BACKENDS:
        yield f"simulation.backend={simulation['backend']}: choose one of {', '.join(BACKENDS)}"
    if backend_of(simulation) != "warp":
        return
    if missing := [key for key in ("device", "nconmax", "njmax") if key not in simulation]:
        yield f"simulation.{missing[0]}: is missing; simulation=warp has it"
    for key in ("nconmax", "njmax"):
        yield from number_faults(f"simulation.{key}", simulation[key], COUNT)
    if find_spec("mujoco_warp") is None:
        yield "simulation=warp: needs the extra `gpu`: pip install 'mujoco-warp>=4,<5'"
    yield from _device_faults(simulation["device"])


def _device_faults(device: Any) -> Iterator[str]:
    if device == "cpu":
        return
    gpu = re.fullmatch(r"cuda:(\d+)", "cuda:0" if device is None else str(device))
    if gpu is None:
        yield f"simulation.device={device}: must be null (the first GPU), cuda:0, cuda:1 and so on, or cpu"
    elif available_gpus() == 0:
        yield "simulation=warp: there is no NVIDIA GPU here; simulation.device=cpu runs it slowly"
    elif int(gpu[1]) >= available_gpus():
        yield f"simulation.device={device}: no such GPU, found {available_gpus()} from cuda:0 on"


def _ppo_faults(ppo: Mapping[str, Any]) -> Iterator[str]:
    schedule = ppo["learning_rate_schedule"]
    if schedule not in SCHEDULES:
        yield f"ppo.learning_rate_schedule={schedule}: choose one of {', '.join(SCHEDULES)}"
    if not isinstance(ppo["mixed_precision"], bool):
        yield f"ppo.mixed_precision={ppo['mixed_precision']}: must be true or false"


def _size_faults(config: Mapping[str, Any]) -> Iterator[str]:
    training, ppo, spawn = config["training"], config["ppo"], config["env"]["spawn"]
    rollout = training["num_envs"] * ppo["rollouts"]
    if training["env_steps"] < rollout:
        yield f"training.env_steps={training['env_steps']}: less than one update's {rollout} samples"
    if spawn["min_radius_m"] > spawn["max_radius_m"]:
        yield f"env.spawn.min_radius_m={spawn['min_radius_m']}: more than env.spawn.max_radius_m"
    if spawn["max_radius_m"] >= config["env"]["platform_radius_m"]:
        yield f"env.spawn.max_radius_m={spawn['max_radius_m']}: must lie on the platform"


def _push_faults(env: Mapping[str, Any]) -> Iterator[str]:
    interval_s, control_dt_s = env["randomization"]["push"]["interval_s"], env["physics_dt_s"] * env["physics_steps"]
    if interval_s[0] <= control_dt_s:
        yield f"env.randomization.push.interval_s={interval_s}: must be longer than a control step, {control_dt_s:g} s"


def _checkpoint_faults(init_from: str | None, hidden: list[int]) -> Iterator[str]:
    """Checkpoints are zip files; a run also tells its network. The rest shows when the checkpoint is loaded."""
    if init_from is None:
        return
    path = checkpoint_of(Path(init_from))
    if not path.is_file():
        yield f"init_from={init_from}: no such run or checkpoint"
    elif not zipfile.is_zipfile(path):
        yield f"init_from={init_from}: {path.name} is not a checkpoint"
    elif Path(init_from).is_dir():
        its_own = load_recorded_config(Path(init_from))["network"]["hidden_layer_sizes"]
        if its_own != hidden:
            yield f"init_from={init_from}: its network.hidden_layer_sizes={its_own}, this run's are {hidden}"


def _reward_faults(reward: Mapping[str, Any]) -> Iterator[str]:
    kernels = reward_kernels()
    if all(isinstance(params, Mapping) and params.get("weight") == 0 for params in reward.values()):
        yield "reward: every weight is 0"
    for name, params in reward.items():
        if name not in kernels:
            yield f"reward.{name}: unknown term, choose from {', '.join(kernels)}"
        elif not isinstance(params, Mapping) or set(params) != {"weight", *kernels[name]}:
            given = ", ".join(map(str, params)) if isinstance(params, Mapping) else params
            yield f"reward.{name}={given}: takes the keys {', '.join(['weight', *kernels[name]])}"
        else:
            bounds: Bounds = (-math.inf, math.inf, True, False)
            for key, value in params.items():
                yield from number_faults(f"reward.{name}.{key}", value, bounds)


@functools.cache
def reward_kernels() -> dict[str, list[str]]:
    """Every reward term and its kernel's arguments, read from the source: importing it would import torch."""
    functions = [
        node for node in ast.parse(REWARDS_PY.read_text(encoding="utf-8")).body if isinstance(node, ast.FunctionDef)
    ]
    return {
        node.name: [argument.arg for argument in node.args.kwonlyargs]
        for node in functions
        if not node.name.startswith("_")
    }


@functools.cache
def available_gpus() -> int:
    """NVIDIA GPUs that this process may use, by the driver's own word: torch and Warp take seconds to import."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int()
    failed = driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count))
    return 0 if failed else count.value
