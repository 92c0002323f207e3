"""Held-out evaluation: deterministic episodes from start states that training never uses, and their metrics."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields

import numpy as np
import torch
from rich.table import Table
from torch import Tensor

from vbot_train.env.environment import Environment
from vbot_train.env.episodes import Episodes
from vbot_train.training.metrics import METRICS

MEDIAN = "time_to_goal_s"  # the only median (over successes); all other metrics are means over episodes


def evaluate(
    env: Environment, policy: Callable[[Tensor], Tensor], seed: int, check: Callable[[], None] | None = None
) -> Episodes:
    """Run one full episode per robot.

    Args:
        env: The environment; its robots are the episodes.
        policy: Maps observations (E, N) to actions (E, J).
        seed: Seed of the start states.
        check: Called before every control step; an exception that it raises ends the evaluation.

    Returns:
        E episodes, in the order of the robots.
    """
    observation = env.reset(seed=seed)
    ended: list[Episodes] = []
    for _ in range(env.max_steps):
        if check is not None:
            check()
        step = env.step(policy(observation))
        observation = step.observation
        ended.append(step.episodes)
    return keep_first_per_robot(join_episodes(ended))


def join_episodes(parts: Iterable[Episodes]) -> Episodes:
    """Concatenate batches of episodes in order and move them to the CPU, where they are analyzed."""
    parts = list(parts)
    return Episodes(**{f.name: torch.cat([getattr(part, f.name) for part in parts]).cpu() for f in fields(Episodes)})


def keep_first_per_robot(episodes: Episodes) -> Episodes:
    """Return the first episode of each robot; a robot that falls early is reset and would be counted twice."""
    _, first = np.unique(episodes.robot.numpy(), return_index=True)
    index = torch.from_numpy(first)
    return Episodes(**{f.name: getattr(episodes, f.name)[index] for f in fields(Episodes)})


def summarize(episodes: Episodes) -> dict[str, float | None]:
    """Compute the metrics of ``metrics.METRICS``, except ``env_steps_to_success``, which training measures."""
    values = compute_per_episode(episodes)
    return {name: (compute_median if name == MEDIAN else compute_mean)(each) for name, each in values.items()}


def estimate_standard_errors(episodes: Episodes) -> dict[str, float]:
    """Estimate the standard errors of the metrics of ``summarize``; 0 for fewer than two observed episodes."""
    errors = {
        name: each.double().std().item() / math.sqrt(len(each)) if len(each) > 1 else 0.0
        for name, each in compute_per_episode(episodes).items()
    }
    return errors | {MEDIAN: errors[MEDIAN] * math.sqrt(math.pi / 2)}  # larger by this factor for a median


def compute_per_episode(episodes: Episodes) -> dict[str, Tensor]:
    """Compute the per-episode values whose mean (or median) is each metric."""
    failed = episodes.fell | episodes.left
    success = episodes.reached & ~failed
    return {
        "episode_reward_mean": episodes.reward,
        "success_rate": success,
        "fall_rate": episodes.fell,
        "out_of_bounds_rate": episodes.left,
        MEDIAN: episodes.time_to_goal_s[success],
        "final_distance_m": episodes.final_distance_m,
        "episode_length_mean": episodes.length_s,
        "stage1_points": (episodes.fenced.float() + episodes.reached.float()) * ~failed,
    }


def compute_median(values: Tensor) -> float | None:
    """Compute the median as a plain float; None if there are no values."""
    return round(values.quantile(0.5).item(), 6) if len(values) else None


def compute_mean(values: Tensor) -> float:
    """Compute the mean as a plain float."""
    return round(values.double().mean().item(), 6)


def compute_mean_reward_terms(episodes: Episodes, names: Iterable[str]) -> dict[str, float]:
    """Compute the mean reward per episode for each term."""
    return {name: compute_mean(column) for name, column in zip(names, episodes.reward_terms.T, strict=True)}


def build_metrics_table(metrics: Mapping[str, float | None]) -> Table:
    """Build a table with one metric per row."""
    table = Table("metric", "value", "unit")
    for name, value in metrics.items():
        table.add_row(name, "-" if value is None else f"{value:g}", METRICS[name].unit)
    return table
