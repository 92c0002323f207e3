"""Every key of a configuration, and what its value may be by itself. ``checks`` knows what values must be together."""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from vbot_train.config.composition import look_up
from vbot_train.training.result import METRICS

# Where a number may lie: (smallest, largest, smallest is allowed, must be whole).
Bounds = tuple[float, float, bool, bool]
LARGEST = 1e9  # no setting comes near; networks and rewards are float32, whose squares overflow from 1.8e19 on
FINITE: Bounds = (-LARGEST, LARGEST, True, False)
POSITIVE: Bounds = (0, LARGEST, False, False)
NOT_NEGATIVE: Bounds = (0, LARGEST, True, False)
SHARE: Bounds = (0, 1, True, False)
COUNT: Bounds = (1, 2**31 - 1, True, True)
WHOLE: Bounds = (0, 2**31 - 1, True, True)
SEED: Bounds = (0, 2**32 - 1, True, True)  # NumPy takes no larger one, and with it Optuna
SEEDS: Bounds = (1, 1000, True, True)  # how many; a confirmation's lie from 1001 on, a test's from 2001 on
ENV_STEPS: Bounds = (1, 10**12, True, True)
# Fixed, so that a configuration that one machine takes, another takes too: more than the cores of any, and still
# threads that an operating system gives to one process (with 100,000 OpenMP ends in a segmentation fault).
PARALLEL: Bounds = (1, 1024, True, True)
DURATION: Bounds = (0, 1_000_000, False, False)  # hours or minutes; the system's timers count no end of seconds

BOUNDS: dict[str, Bounds] = {
    "seed": SEED,
    "evaluation.seed": SEED,
    "evaluation.selection_seed": SEED,
    "workers": PARALLEL,
    "budget_hours": DURATION,
    "search.max_trials": COUNT,
    "search.seeds_per_configuration": SEEDS,
    "search.retries": WHOLE,
    "search.trial_minutes": DURATION,
    "ppo.learning_rate": POSITIVE,
    "ppo.kl_target": POSITIVE,
    "ppo.discount_factor": SHARE,
    "ppo.gae_lambda": SHARE,
    "ppo.ratio_clip": POSITIVE,
    "ppo.value_clip": NOT_NEGATIVE,
    "ppo.grad_norm_clip": NOT_NEGATIVE,
    "ppo.entropy_loss_scale": NOT_NEGATIVE,
    "ppo.value_loss_scale": NOT_NEGATIVE,
    "ppo.kl_threshold": NOT_NEGATIVE,
    "ppo.initial_std": (0, math.e, False, False),  # the policy bounds it there
    "ppo.learning_epochs": COUNT,
    "ppo.mini_batches": COUNT,
    "ppo.rollouts": COUNT,
    "training.num_envs": COUNT,
    "training.env_steps": ENV_STEPS,
    "training.evaluations": COUNT,
    "training.selection_episodes": COUNT,
    "training.evaluation_episodes": COUNT,
    "training.torch_threads": PARALLEL,
    "simulation.threads": PARALLEL,
    "env.episode_length_s": POSITIVE,
    "env.physics_dt_s": POSITIVE,
    "env.physics_steps": COUNT,
    "env.goal_radius_m": POSITIVE,
    "env.platform_radius_m": POSITIVE,
    "env.max_tilt_deg": (0, 180, False, False),
    "env.inner_fence_radius_m": POSITIVE,
    "env.max_joint_speed_rad_s": POSITIVE,
    "env.standard_env_steps": ENV_STEPS,
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
INSTEAD: dict[str, tuple[Any, ...]] = {  # what may stand in a number's place
    "workers": (None, "auto"),
    "budget_hours": (None,),
    "search.max_trials": (None,),
    "search.trial_minutes": (None,),
    "training.torch_threads": (None,),
    "simulation.threads": (None,),
}
RANGES: dict[str, Bounds] = {  # [smallest, largest], and where both may lie
    "env.randomization.friction": NOT_NEGATIVE,
    "env.randomization.payload_kg": NOT_NEGATIVE,
    "env.randomization.motor_strength": POSITIVE,
    "env.randomization.push.interval_s": POSITIVE,
}
CHOICES: dict[str, tuple[str, ...]] = {
    "search.metric": tuple(METRICS),
    "search.duplicates": ("replicate", "skip"),
    "ppo.learning_rate_schedule": ("none", "linear", "kl"),
    "simulation.backend": ("mujoco", "warp"),
}
FLAGS = ("ppo.mixed_precision", "search.dry_run")
OTHERS = (  # ``checks`` and ``search.check`` know what these may be, and numbers of reward terms
    *("init_from", "network.hidden_layer_sizes", "simulation.device", "simulation.nconmax", "simulation.njmax"),
    *("study", "storage", "pruner._target_", "search.name", "search.constraints", "search.enqueue", "search.around"),
    *("search.confirm.top_k", "search.confirm.seeds", "search.test.seeds", "search.test.evaluation_seed"),
)


def find_value_faults(config: Mapping[str, Any], keys: Iterable[str]) -> Iterator[str]:
    """What is wrong with the values of these keys, each by itself: nothing, or a line for each with the key."""
    for key in keys:
        try:
            value = look_up(config, key)
        except KeyError:
            yield f"{key}: is missing"
            continue
        if key in BOUNDS and value not in INSTEAD.get(key, ()):
            yield from find_number_faults(key, value, BOUNDS[key])
        elif key in RANGES:
            yield from find_range_faults(key, value, RANGES[key])
        elif key in CHOICES and value not in CHOICES[key]:
            yield f"{key}={value}: choose one of {', '.join(CHOICES[key])}"
        elif key in FLAGS and not isinstance(value, bool):
            yield f"{key}={value}: must be true or false"


def find_number_faults(key: str, value: Any, bounds: Bounds) -> Iterator[str]:
    """What is wrong with a number: nothing, or one line with its key."""
    low, high, closed, whole = bounds
    if isinstance(value, bool) or not isinstance(value, int | float):
        yield f"{key}={value}: must be a number"
    elif whole and not isinstance(value, int):
        yield f"{key}={value}: must be a whole number"
    elif not low <= value <= high or (value == low and not closed):  # nan is never between
        bounded = high < LARGEST or value > high
        wanted = f"{'at least' if closed else 'more than'} {low}"
        yield f"{key}={value}: must be {wanted}" + (f" and at most {high}" if bounded else "")


def find_range_faults(key: str, value: Any, bounds: Bounds) -> Iterator[str]:
    """What is wrong with a range: nothing, or one line with its key."""
    if not isinstance(value, list) or len(value) != 2:
        yield f"{key}={value}: must be two numbers, [smallest, largest]"
        return
    faults = [fault for i, end in enumerate(value) for fault in find_number_faults(f"{key}[{i}]", end, bounds)]
    yield from faults
    if not faults and value[0] > value[1]:
        yield f"{key}={value}: the smallest is more than the largest"
