"""The training loop: collect a rollout, run one PPO update, yield its statistics."""

import math
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from skrl.agents.torch.ppo import PPO
from torch import Tensor

from vbot_train.agent.ppo import Learner
from vbot_train.env.environment import Environment
from vbot_train.env.episodes import Episodes

WINDOW = 512  # number of training episodes in the running averages
MAX_ACTION = 1e3  # actions are clipped at 1; a policy this far outside gets no useful gradient


class DivergedError(Exception):
    """Training diverged: a loss, a parameter or an action is not finite, or an action exceeds MAX_ACTION."""


@dataclass(frozen=True, slots=True)
class Update:
    """Statistics of one PPO update and its rollout. Rates are over the last ``WINDOW`` training episodes."""

    number: int
    env_steps: int
    env_steps_per_s: float  # of this update
    reward: float  # mean per episode, NaN before the first episode has ended
    success_rate: float
    fall_rate: float
    policy_loss: float
    value_loss: float
    policy_std: float
    learning_rate: float


class TrainingLoop:
    """Iterator over PPO updates. It can be interrupted between two updates and resumed with the same result.

    Args:
        agent: The agent, trained in place.
        env: The environment; its robots are reset before the first update, at staggered ages.
        updates: Total number of PPO updates; each uses ``agent.cfg.rollouts`` control steps of every robot.
        threads: Torch's threads for the updates.
    """

    def __init__(self, agent: Learner, env: Environment, *, updates: int, threads: int = 1) -> None:
        self.number = 0  # updates finished
        self._agent = agent
        self._env = env
        self._updates = updates
        self._threads = threads
        self._observation: Tensor | None = None  # (E, N), the latest one
        self._episodes: deque[tuple[float, bool, bool]] = deque(maxlen=WINDOW)
        agent.enable_training_mode(True)

    def __iter__(self) -> Iterator[Update]:
        """Run the remaining updates and yield each one when it is finished."""
        while self.number < self._updates:
            yield self._advance()

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of everything that the next updates depend on, tensors and plain data."""
        observation = None if self._observation is None else self._observation.clone()
        return {
            "number": self.number,
            "observation": observation,
            "episodes": list(self._episodes),
            "agent": self._agent.state_dict(),
            "env": self._env.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the result of ``state_dict`` of a loop with the same config."""
        self._agent.load_state_dict(state["agent"])
        self._env.load_state_dict(state["env"])
        observation = state["observation"]
        self._observation = None if observation is None else observation.to(self._env.device)
        self._episodes.extend(state["episodes"])
        self.number = state["number"]

    def _advance(self) -> Update:
        """Collect a rollout and learn from it.

        Raises:
            DivergedError: A loss, a parameter or an action is not finite, or an action exceeds MAX_ACTION.
        """
        start = time.perf_counter()
        rollouts, number = self._agent.cfg.rollouts, self.number + 1
        if self._observation is None:
            self._observation = self._env.reset(stagger=True)
        for timestep in range(self.number * rollouts, number * rollouts):
            self._observation = self._take_step(self._observation, timestep)
            with use_torch_threads(self._threads if (timestep + 1) % rollouts == 0 else 1):
                # Runs the PPO update at the end of the rollout.
                self._agent.post_interaction(timestep=timestep, timesteps=self._updates * rollouts)
        speed = rollouts * self._env.num_envs / (time.perf_counter() - start)
        update = _describe(self._agent, number, number * rollouts * self._env.num_envs, speed, self._episodes)
        self.number = number
        return update

    @torch.inference_mode()
    def _take_step(self, observation: Tensor, timestep: int) -> Tensor:
        """Sample actions, step the robots and store the transition. Returns the next observations (E, N)."""
        timesteps = self._updates * self._agent.cfg.rollouts
        action, _ = self._agent.act(observation, None, timestep=timestep, timesteps=timesteps)
        _check_action(action, self.number + 1)
        step = self._env.step(action)
        self._agent.record_transition(
            observations=observation,
            states=None,
            actions=action,
            rewards=step.reward.unsqueeze(1),
            next_observations=step.final_observation,
            next_states=None,
            terminated=step.terminated.unsqueeze(1),
            truncated=step.truncated.unsqueeze(1),
            infos={},
            timestep=timestep,
            timesteps=timesteps,
        )
        if len(step.episodes.robot):
            self._episodes.extend(_list_outcomes(step.episodes))
        return step.observation


@contextmanager
def use_torch_threads(count: int) -> Iterator[None]:
    """Set torch's number of threads within the ``with`` block.

    Outside updates it is one, because idle OpenMP threads spin for a while after their work, on cores that the physics
    needs next (LOG.md, 2026-11-24).
    """
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _check_action(action: Tensor, number: int) -> None:
    largest = action.abs().max().item()  # NaN if any action is NaN
    if not largest <= MAX_ACTION:
        raise DivergedError(f"the policy's largest action is {largest:g} in update {number}, beyond {MAX_ACTION:g}")


def _list_outcomes(episodes: Episodes) -> list[tuple[float, bool, bool]]:
    success = episodes.reached & ~episodes.fell & ~episodes.left
    return list(zip(episodes.reward.tolist(), success.tolist(), episodes.fell.tolist(), strict=True))


def _describe(
    agent: PPO, number: int, env_steps: int, speed: float, episodes: deque[tuple[float, bool, bool]]
) -> Update:
    policy_loss, value_loss = _read_finite_losses(agent, number)
    columns = list(zip(*episodes, strict=True)) or [(math.nan,)] * 3
    reward, success_rate, fall_rate = (sum(column) / len(column) for column in columns)
    return Update(
        number=number,
        env_steps=env_steps,
        env_steps_per_s=speed,
        reward=reward,
        success_rate=success_rate,
        fall_rate=fall_rate,
        policy_loss=policy_loss,
        value_loss=value_loss,
        policy_std=agent.policy.std().mean().item(),
        learning_rate=agent.optimizer.param_groups[0]["lr"],
    )


def _read_finite_losses(agent: PPO, number: int) -> tuple[float, float]:
    """Return the update's mean policy and value losses, after checking that they are finite, which skrl does not do.

    Raises:
        DivergedError: A loss or a network parameter is not finite.
    """
    policy_loss, value_loss = (agent.tracking_data[f"Loss / {name} loss"][-1] for name in ("Policy", "Value"))
    agent.tracking_data.clear()
    if not (math.isfinite(policy_loss) and math.isfinite(value_loss)):
        raise DivergedError(f"the loss is not finite in update {number}: policy {policy_loss}, value {value_loss}")
    if not all(p.isfinite().all() for p in [*agent.policy.parameters(), *agent.value.parameters()]):
        raise DivergedError(f"a network parameter is not finite after update {number}")
    return policy_loss, value_loss
