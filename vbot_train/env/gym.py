"""Gymnasium interface of the task.

gymnasium.make("VBotNavigation-v0")
gymnasium.make_vec("VBotNavigation-v0", num_envs=64, env="section001_far")

Gymnasium's own vector environments (``vectorization_mode="sync"``, ``"async"``) work too, with every start method of
the ``"async"`` processes. A forked process uses one torch thread.

Pickling or copying an environment keeps only its arguments: the copy has no episode and must be reset first.
"""

import os
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.error import ResetNeeded
from gymnasium.spaces import Box, Space
from gymnasium.utils import EzPickle
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from vbot_train.config.validation import compose_validated
from vbot_train.env import PROCESS
from vbot_train.env.environment import Environment, build_env
from vbot_train.env.episodes import Episodes

Floats = NDArray[np.float32]
# Scaled observations are of order one; only unstable physics, which ends the episode, reaches this bound.
LARGEST = 1e3
NO_EPISODE = "call reset() first: no episode has begun"


def build(env: str, reward: str, num_envs: int, threads: int) -> Environment:
    """Build the task from options of ``conf/env/`` and ``conf/reward/``, with a random seed until one is given."""
    if os.getpid() != PROCESS:  # forked: it would wait forever for the parent's OpenMP threads
        torch.set_num_threads(1)
    config = compose_validated([f"env={env}", f"reward={reward}", f"simulation.threads={threads}"])
    return build_env(config, num_envs=num_envs, seed=int(np.random.SeedSequence().generate_state(1)[0]))


def build_spaces(env: Environment) -> tuple[Space[Floats], Space[Floats]]:
    """Return the spaces of one robot's observation and action."""
    observation = Box(-LARGEST, LARGEST, (env.observation_size,), np.float32)
    return observation, Box(-1.0, 1.0, (env.action_size,), np.float32)


def to_numpy(observation: torch.Tensor) -> Floats:
    """Convert observations to NumPy, clipped to the bounds of the observation space."""
    result: Floats = observation.clamp(-LARGEST, LARGEST).numpy()
    return result


def select_robots(mask: object, num_envs: int) -> torch.Tensor:
    """Return the index (K,) of the robots that Gymnasium's ``reset_mask`` selects.

    Raises:
        ValueError: It is not a bool mask of ``num_envs`` robots, or selects none.
    """
    if not (isinstance(mask, np.ndarray) and mask.dtype == np.bool_ and mask.shape == (num_envs,) and mask.any()):
        raise ValueError(f"reset_mask={mask}: must be a NumPy array of {num_envs} bools, at least one of them True")
    return torch.from_numpy(mask.nonzero()[0])


class VBotNavigation(gymnasium.Env[Floats, Floats], EzPickle):
    """One robot; see ``NavigationEnv`` for the task.

    Args:
        env: Option of ``conf/env/``.
        reward: Option of ``conf/reward/``.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 - Gymnasium's own convention

    def __init__(self, env: str = "section001", reward: str = "default") -> None:
        EzPickle.__init__(self, env, reward)
        self._env = build(env, reward, num_envs=1, threads=1)
        self.observation_space, self.action_space = build_spaces(self._env)
        self._begun = False

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Floats, dict[str, Any]]:
        """Start a new episode."""
        super().reset(seed=seed)
        self._begun = True
        return to_numpy(self._env.reset(seed=seed))[0], {}

    def step(self, action: Floats) -> tuple[Floats, float, bool, bool, dict[str, Any]]:
        """Advance by one control step. At the end of an episode, ``info`` holds its outcome."""
        if not self._begun:
            raise ResetNeeded(NO_EPISODE)
        step = self._env.step(torch.as_tensor(action, dtype=torch.float32).unsqueeze(0))
        terminated, truncated = step.terminated.item(), step.truncated.item()
        info = {name: values[0] for name, values in outcome(step.episodes).items()} if terminated or truncated else {}
        return to_numpy(step.final_observation)[0], step.reward.item(), bool(terminated), bool(truncated), info


class VBotNavigationVector(gymnasium.vector.VectorEnv[Floats, Floats, NDArray[Any]], EzPickle):
    """Many robots in one process, stepped by a thread pool; see ``NavigationEnv`` for the task.

    A robot whose episode ends is reset in the same step; its last observation is in ``info["final_obs"]`` and the
    outcome of its episode in ``info["final_info"]``.

    Args:
        num_envs: Number of robots.
        env: Option of ``conf/env/``.
        reward: Option of ``conf/reward/``.
        threads: Physics threads.
        max_episode_steps: Additional limit on the control steps of an episode; None and -1 set no limit.

    Raises:
        ValueError: ``max_episode_steps`` is not a positive integer.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 - Gymnasium's own convention
        "render_modes": [],
        "autoreset_mode": gymnasium.vector.AutoresetMode.SAME_STEP,
    }

    def __init__(
        self,
        num_envs: int = 1,
        env: str = "section001",
        reward: str = "default",
        threads: int = 1,
        max_episode_steps: int | None = None,
    ) -> None:
        EzPickle.__init__(self, num_envs, env, reward, threads, max_episode_steps)
        self.num_envs = num_envs
        self._env = build(env, reward, num_envs, threads)
        self.single_observation_space, self.single_action_space = build_spaces(self._env)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._limit_episodes(max_episode_steps)
        self._observation: torch.Tensor | None = None  # (E, N), the latest one; None before the first reset

    def _limit_episodes(self, steps: int | None) -> None:
        if steps is None or steps == -1:
            return
        if not isinstance(steps, int) or steps < 1:
            raise ValueError(f"max_episode_steps={steps}: must be a positive number of control steps")
        self._env.max_steps = min(self._env.max_steps, steps)

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Floats, dict[str, Any]]:
        """Start a new episode for every robot. One seed is used for all robots: the first one of a list.

        With ``options={"reset_mask": mask}``, (E,) bool, only the selected robots are reset; the others continue their
        episodes, and their latest observations are returned again.

        Raises:
            ValueError: The mask is invalid.
            ResetNeeded: A mask was given before the first full reset.
        """
        first = seed[0] if isinstance(seed, list) else seed
        super().reset(seed=first)
        if options and "reset_mask" in options:
            if self._observation is None:
                raise ResetNeeded(NO_EPISODE)
            robots = select_robots(options["reset_mask"], self.num_envs)
            begun = self._env.reset(seed=first, robots=robots)
            self._observation = self._observation.index_put((robots,), begun)
        else:
            self._observation = self._env.reset(seed=first)
        return to_numpy(self._observation), {}

    def step(self, actions: Floats) -> tuple[Floats, NDArray[Any], NDArray[Any], NDArray[Any], dict[str, Any]]:
        """Advance every robot by one control step."""
        if self._observation is None:
            raise ResetNeeded(NO_EPISODE)
        step = self._env.step(torch.as_tensor(actions, dtype=torch.float32))
        self._observation = step.observation
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
        """Expand outcomes of the finished episodes to arrays over all robots, zero for the others."""
        spread = {}
        for name, values in outcomes.items():
            spread[name] = np.zeros(self.num_envs, dtype=values.dtype)
            spread[name][episodes.robot.numpy()] = values
        return spread


def outcome(episodes: Episodes) -> dict[str, NDArray[Any]]:
    """Return the outcomes of episodes, as one array per quantity."""
    names = ("reached", "fell", "left", "time_to_goal_s", "final_distance_m", "length_s")
    return {name: getattr(episodes, name).numpy() for name in names}
