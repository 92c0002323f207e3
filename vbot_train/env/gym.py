"""Gymnasium's face of the task.

gymnasium.make("VBotNavigation-v0")
gymnasium.make_vec("VBotNavigation-v0", num_envs=64, env="section001_far")

Gymnasium's own vector environments (``vectorization_mode="sync"``, ``"async"``) work too, however the processes of the
latter are started. A forked one has one torch thread.

Pickled or copied, an environment is its arguments: the copy has no episode yet, and says so until it is reset.
"""

import os
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.error import ResetNeeded
from gymnasium.spaces import Box
from gymnasium.utils import EzPickle
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from vbot_train.config.composition import compose_config
from vbot_train.env import PROCESS
from vbot_train.env.episodes import Episodes
from vbot_train.env.navigation import NavigationEnv
from vbot_train.env.observations import SIZE
from vbot_train.env.simulation import JOINTS

Floats = NDArray[np.float32]
# Scaled observations are of order one; only unstable physics, which ends the episode, comes near this bound.
OBSERVATION_SPACE = Box(-1e3, 1e3, (SIZE,), np.float32)
ACTION_SPACE = Box(-1.0, 1.0, (JOINTS,), np.float32)
NO_EPISODE = "call reset() first: no episode has begun"


def build(env: str, reward: str, num_envs: int, threads: int) -> NavigationEnv:
    """Build the task from options of ``conf/env/`` and ``conf/reward/``. Until it is seeded, each copy differs."""
    if os.getpid() != PROCESS:  # a fork, which would wait for ever for its parent's OpenMP threads: it has none of them
        torch.set_num_threads(1)
    config = compose_config([f"env={env}", f"reward={reward}"])
    seed = int(np.random.SeedSequence().generate_state(1)[0])
    return NavigationEnv(config["env"], config["reward"], num_envs=num_envs, seed=seed, threads=threads)


def to_numpy(observation: torch.Tensor) -> Floats:
    """Observations within the bounds of the space."""
    result: Floats = observation.clamp(-1e3, 1e3).numpy()
    return result


def robots_of(mask: object, num_envs: int) -> torch.Tensor:
    """Index (K,) of the robots that Gymnasium's ``reset_mask`` picks.

    Raises:
        ValueError: It is no mask of so many robots, or picks none.
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
        self.observation_space = OBSERVATION_SPACE
        self.action_space = ACTION_SPACE
        self._env = build(env, reward, num_envs=1, threads=1)
        self._begun = False

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Floats, dict[str, Any]]:
        """Start an episode."""
        super().reset(seed=seed)
        self._begun = True
        return to_numpy(self._env.reset(seed=seed))[0], {}

    def step(self, action: Floats) -> tuple[Floats, float, bool, bool, dict[str, Any]]:
        """Take a control step. At the end of an episode ``info`` holds its outcome."""
        if not self._begun:
            raise ResetNeeded(NO_EPISODE)
        step = self._env.step(torch.as_tensor(action, dtype=torch.float32).unsqueeze(0))
        terminated, truncated = step.terminated.item(), step.truncated.item()
        info = {name: values[0] for name, values in outcome(step.episodes).items()} if terminated or truncated else {}
        return to_numpy(step.final_observation)[0], step.reward.item(), bool(terminated), bool(truncated), info


class VBotNavigationVector(gymnasium.vector.VectorEnv[Floats, Floats, NDArray[Any]], EzPickle):
    """Many robots in one process, stepped by a pool of threads; see ``NavigationEnv`` for the task.

    A robot whose episode ends starts anew in the same step; its last observation is in ``info["final_obs"]`` and
    the outcome of its episode in ``info["final_info"]``.

    Args:
        num_envs: Number of robots.
        env: Option of ``conf/env/``.
        reward: Option of ``conf/reward/``.
        threads: Threads of the physics.
        max_episode_steps: Episodes end after so many control steps, if not before; None and -1 are no such limit.

    Raises:
        ValueError: ``max_episode_steps`` is no number of steps.
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
        self.single_observation_space = OBSERVATION_SPACE
        self.single_action_space = ACTION_SPACE
        self.observation_space = batch_space(OBSERVATION_SPACE, num_envs)
        self.action_space = batch_space(ACTION_SPACE, num_envs)
        self._env = build(env, reward, num_envs, threads)
        self._limit_episodes(max_episode_steps)
        self._observation: torch.Tensor | None = None  # (E, 54), the last one; None before the first reset

    def _limit_episodes(self, steps: int | None) -> None:
        if steps is None or steps == -1:
            return
        if not isinstance(steps, int) or steps < 1:
            raise ValueError(f"max_episode_steps={steps}: must be a positive number of control steps")
        self._env.max_steps = min(self._env.max_steps, steps)

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Floats, dict[str, Any]]:
        """Start an episode for every robot. One seed serves them all: of a list, the first.

        With ``options={"reset_mask": mask}``, (E,) bool, only the robots that it picks start anew; the others go on,
        and their last observations are returned again.

        Raises:
            ValueError: The mask does not fit.
            ResetNeeded: There is a mask, but no episode that others could go on with.
        """
        first = seed[0] if isinstance(seed, list) else seed
        super().reset(seed=first)
        if options and "reset_mask" in options:
            if self._observation is None:
                raise ResetNeeded(NO_EPISODE)
            robots = robots_of(options["reset_mask"], self.num_envs)
            begun = self._env.reset(seed=first, robots=robots)
            self._observation = self._observation.index_put((robots,), begun)
        else:
            self._observation = self._env.reset(seed=first)
        return to_numpy(self._observation), {}

    def step(self, actions: Floats) -> tuple[Floats, NDArray[Any], NDArray[Any], NDArray[Any], dict[str, Any]]:
        """Take a control step with every robot."""
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
