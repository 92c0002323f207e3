"""Gymnasium's face of the task.

gymnasium.make("VBotNavigation-v0")
gymnasium.make_vec("VBotNavigation-v0", num_envs=64, env="section001_far")
"""

from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.spaces import Box
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from vbot_train.config import compose_config
from vbot_train.env.episodes import Episodes
from vbot_train.env.navigation import NavigationEnv
from vbot_train.env.observations import SIZE
from vbot_train.env.simulation import JOINTS

Floats = NDArray[np.float32]
# Scaled observations are of order one; only unstable physics, which ends the episode, comes near this bound.
OBSERVATION_SPACE = Box(-1e3, 1e3, (SIZE,), np.float32)
ACTION_SPACE = Box(-1.0, 1.0, (JOINTS,), np.float32)


def build(env: str, reward: str, num_envs: int, threads: int) -> NavigationEnv:
    """Build the task from options of ``conf/env/`` and ``conf/reward/``. Until it is seeded, each copy differs."""
    config = compose_config([f"env={env}", f"reward={reward}"])
    seed = int(np.random.SeedSequence().generate_state(1)[0])
    return NavigationEnv(config["env"], config["reward"], num_envs=num_envs, seed=seed, threads=threads)


def to_numpy(observation: torch.Tensor) -> Floats:
    """Observations within the bounds of the space."""
    result: Floats = observation.clamp(-1e3, 1e3).numpy()
    return result


class VBotNavigation(gymnasium.Env[Floats, Floats]):
    """One robot; see ``NavigationEnv`` for the task.

    Args:
        env: Option of ``conf/env/``.
        reward: Option of ``conf/reward/``.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 - Gymnasium's own convention

    def __init__(self, env: str = "section001", reward: str = "default") -> None:
        self.observation_space = OBSERVATION_SPACE
        self.action_space = ACTION_SPACE
        self._env = build(env, reward, num_envs=1, threads=1)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Floats, dict[str, Any]]:
        """Start an episode."""
        super().reset(seed=seed)
        return to_numpy(self._env.reset(seed=seed))[0], {}

    def step(self, action: Floats) -> tuple[Floats, float, bool, bool, dict[str, Any]]:
        """Take a control step. At the end of an episode ``info`` holds its outcome."""
        step = self._env.step(torch.as_tensor(action, dtype=torch.float32).unsqueeze(0))
        terminated, truncated = step.terminated.item(), step.truncated.item()
        info = {name: values[0] for name, values in outcome(step.episodes).items()} if terminated or truncated else {}
        return to_numpy(step.final_observation)[0], step.reward.item(), bool(terminated), bool(truncated), info


class VBotNavigationVector(gymnasium.vector.VectorEnv[Floats, Floats, NDArray[Any]]):
    """Many robots in one process, stepped by a pool of threads; see ``NavigationEnv`` for the task.

    A robot whose episode ends starts anew in the same step; its last observation is in ``info["final_obs"]`` and
    the outcome of its episode in ``info["final_info"]``.

    Args:
        num_envs: Number of robots.
        env: Option of ``conf/env/``.
        reward: Option of ``conf/reward/``.
        threads: Threads of the physics.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 - Gymnasium's own convention
        "render_modes": [],
        "autoreset_mode": gymnasium.vector.AutoresetMode.SAME_STEP,
    }

    def __init__(self, num_envs: int = 1, env: str = "section001", reward: str = "default", threads: int = 1) -> None:
        self.num_envs = num_envs
        self.single_observation_space = OBSERVATION_SPACE
        self.single_action_space = ACTION_SPACE
        self.observation_space = batch_space(OBSERVATION_SPACE, num_envs)
        self.action_space = batch_space(ACTION_SPACE, num_envs)
        self._env = build(env, reward, num_envs, threads)

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Floats, dict[str, Any]]:
        """Start an episode for every robot. One seed serves them all: of a list, the first."""
        first = seed[0] if isinstance(seed, list) else seed
        super().reset(seed=first)
        return to_numpy(self._env.reset(seed=first)), {}

    def step(self, actions: Floats) -> tuple[Floats, NDArray[Any], NDArray[Any], NDArray[Any], dict[str, Any]]:
        """Take a control step with every robot."""
        step = self._env.step(torch.as_tensor(actions, dtype=torch.float32))
        info: dict[str, Any] = {}
        if len(step.episodes.robot):
            ended = (step.terminated | step.truncated).numpy()
            info = {"final_obs": to_numpy(step.final_observation), "_final_obs": ended}
            info |= {"final_info": self._spread(outcome(step.episodes), step.episodes), "_final_info": ended}
        return (
            to_numpy(step.observation),
            step.reward.numpy().astype(np.float64),
            step.terminated.numpy(),
            step.truncated.numpy(),
            info,
        )

    def _spread(self, outcomes: dict[str, NDArray[Any]], episodes: Episodes) -> dict[str, NDArray[Any]]:
        """Outcomes of the ended episodes, as arrays over all robots."""
        spread = {}
        for name, values in outcomes.items():
            spread[name] = np.zeros(self.num_envs, dtype=values.dtype)
            spread[name][episodes.robot.numpy()] = values
        return spread


def outcome(episodes: Episodes) -> dict[str, NDArray[Any]]:
    """How episodes ended, one array over the episodes each."""
    names = ("reached", "fell", "left", "time_to_goal_s", "final_distance_m", "length_s")
    return {name: getattr(episodes, name).numpy() for name in names}
