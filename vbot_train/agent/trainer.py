"""The training loop: act, step, record, learn, and tell after every update."""

import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from skrl.agents.torch.ppo import PPO
from torch import Tensor

from vbot_train.env.episodes import Episodes
from vbot_train.env.navigation import NavigationEnv

WINDOW = 512  # training episodes that the running averages look back on
MAX_ACTION = 1e3  # actions are clipped at 1; a policy this far outside no longer feels its gradient


class DivergedError(Exception):
    """The policy can no longer be trained: a loss, a parameter or an action is not finite, or an action is absurd."""


@dataclass(frozen=True, slots=True)
class Update:
    """One PPO update, and the rollout before it. Rates are over the last ``WINDOW`` training episodes."""

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


def learn(
    agent: PPO, env: NavigationEnv, *, updates: int, on_update: Callable[[Update], None], threads: int = 1
) -> None:
    """Train for a number of updates.

    Args:
        agent: Learns in place.
        env: Its robots are reset first, at staggered ages.
        updates: PPO updates; each takes ``agent.cfg.rollouts`` control steps of every robot.
        on_update: Called after every update; what it raises ends the training.
        threads: Threads of torch for the updates.

    Raises:
        DivergedError: A loss, a parameter or an action is not finite, or an action is absurd.
    """
    agent.enable_training_mode(True)
    observation = env.reset(stagger=True)
    episodes: deque[tuple[float, bool, bool]] = deque(maxlen=WINDOW)
    rollouts, timesteps = agent.cfg.rollouts, updates * agent.cfg.rollouts
    for number in range(1, updates + 1):
        start = time.perf_counter()
        for timestep in range((number - 1) * rollouts, number * rollouts):
            with torch.inference_mode():
                action, _ = agent.act(observation, None, timestep=timestep, timesteps=timesteps)
                _check_action(action, number)
                step = env.step(action)
                agent.record_transition(
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
            observation = step.observation
            if len(step.episodes.robot):
                episodes.extend(_outcomes(step.episodes))
            with torch_threads(threads if (timestep + 1) % rollouts == 0 else 1):
                agent.post_interaction(timestep=timestep, timesteps=timesteps)  # learns at the rollout's end
        speed = rollouts * env.num_envs / (time.perf_counter() - start)
        on_update(_describe(agent, number, number * rollouts * env.num_envs, speed, episodes))


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Let torch use ``count`` threads in here. Outside of updates it is one: idle OpenMP threads spin for a while
    after their work, on the cores that the physics is about to need (LOG.md, 2026-11-24).
    """
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _check_action(action: Tensor, number: int) -> None:
    largest = action.abs().max().item()  # NaN if any is
    if not largest <= MAX_ACTION:
        raise DivergedError(f"the policy's largest action is {largest:g} in update {number}, beyond {MAX_ACTION:g}")


def _outcomes(episodes: Episodes) -> list[tuple[float, bool, bool]]:
    success = episodes.reached & ~episodes.fell & ~episodes.left
    return list(zip(episodes.reward.tolist(), success.tolist(), episodes.fell.tolist(), strict=True))


def _describe(
    agent: PPO, number: int, env_steps: int, speed: float, episodes: deque[tuple[float, bool, bool]]
) -> Update:
    policy_loss, value_loss = _finite_losses(agent, number)
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


def _finite_losses(agent: PPO, number: int) -> tuple[float, float]:
    """The update's mean losses of policy and value function; skrl itself does not look whether they are finite."""
    policy_loss, value_loss = (agent.tracking_data[f"Loss / {name} loss"][-1] for name in ("Policy", "Value"))
    agent.tracking_data.clear()
    if not (math.isfinite(policy_loss) and math.isfinite(value_loss)):
        raise DivergedError(f"the loss is not finite in update {number}: policy {policy_loss}, value {value_loss}")
    if not all(p.isfinite().all() for p in [*agent.policy.parameters(), *agent.value.parameters()]):
        raise DivergedError(f"a network parameter is not finite after update {number}")
    return policy_loss, value_loss
