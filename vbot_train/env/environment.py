"""What training and evaluation need of a task, and the one place that builds it from a config."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from vbot_train.config.composition import count_cores
from vbot_train.config.reward_terms import Term
from vbot_train.config.schema import Config, RecordedConfig
from vbot_train.config.schema import Simulation as SimulationConfig
from vbot_train.config.tasks import Env
from vbot_train.env.episodes import Step
from vbot_train.env.navigation import NavigationEnv
from vbot_train.env.simulation import MujocoSimulation, Simulation


class Environment(Protocol):
    """A task: E robots, one control step at a time. All tensors live on ``device``."""

    num_envs: int  # E
    device: torch.device
    observation_size: int  # numbers per observation, N
    action_size: int  # numbers per action, J; each is in [-1, 1]
    control_dt_s: float  # [s], duration of a control step
    max_steps: int  # control steps of an episode
    start_range_m: tuple[float, float]  # smallest and largest distance to the goal at the start of an episode
    unstable_robots: int  # robots whose physics became unstable, so far

    @property
    def robot_xml(self) -> Path | None:
        """MuJoCo model that a video shows; None: this task has no video."""

    @property
    def reward_terms(self) -> Mapping[str, Term]:
        """Weight and arguments of each reward term, in the order of ``Episodes.reward_terms``."""

    @property
    def poses(self) -> Tensor | None:
        """Poses of the robots, (E, size of the model's ``qpos``); None without a ``robot_xml``."""

    def describe_interface(self) -> dict[str, Any]:
        """Describe, in plain containers, what a policy must know to run elsewhere; empty: this task does not say."""

    def reset(self, *, seed: int | None = None, stagger: bool = False, robots: Tensor | None = None) -> Tensor:
        """Start new episodes.

        Args:
            seed: New seed of the random generator; None continues with its current state.
            stagger: Start the episodes at random ages, so that they do not all end at the same step.
            robots: Index (K,) of the robots to reset; None means all.

        Returns:
            (K, N) observations of the reset robots.
        """

    def step(self, action: Tensor) -> Step:
        """Advance every robot by one control step, ``action`` (E, J); robots whose episode ends are reset."""

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of everything that the next control steps depend on, tensors and plain data."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the result of ``state_dict`` of an environment of the same config and size."""


def build_env(config: Config | RecordedConfig, *, num_envs: int, seed: int) -> Environment:
    """Build the environment of a config with ``num_envs`` robots."""
    simulation = build_simulation(config.simulation, config.env, num_envs)
    return NavigationEnv(config.env, config.reward, simulation=simulation, seed=seed)


def build_simulation(simulation: SimulationConfig, env: Env, num_envs: int) -> Simulation:
    """Build the simulation from options of ``conf/simulation/`` and ``conf/env/``, which sets the time steps."""
    physics_dt_s, physics_steps = env.physics_dt_s, env.physics_steps
    if simulation.backend == "mujoco":
        threads = simulation.threads or count_cores()
        return MujocoSimulation(num_envs, physics_dt_s=physics_dt_s, physics_steps=physics_steps, threads=threads)
    if simulation.backend == "motrix":
        from vbot_train.env.motrix import MotrixSimulation  # needs an optional extra

        threads = simulation.threads or count_cores()
        return MotrixSimulation(num_envs, physics_dt_s=physics_dt_s, physics_steps=physics_steps, threads=threads)
    from vbot_train.env.warp import WarpSimulation  # needs another one

    assert simulation.nconmax is not None and simulation.njmax is not None
    return WarpSimulation(
        num_envs,
        physics_dt_s=physics_dt_s,
        physics_steps=physics_steps,
        device=simulation.device,
        nconmax=simulation.nconmax,
        njmax=simulation.njmax,
    )
