"""Evaluate a checkpoint, and show what was found."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from rich.box import SIMPLE_HEAD
from rich.table import Table
from torch import Tensor

from vbot_train.agent.ppo import build_agent, compute_mean_action, load_checkpoint
from vbot_train.env.episodes import Episodes
from vbot_train.env.navigation import NavigationEnv
from vbot_train.env.simulation import ROBOT_XML, Simulation
from vbot_train.evaluation.held_out import (
    build_env,
    build_metrics_table,
    compute_mean_reward_terms,
    evaluate,
    summarize,
)
from vbot_train.evaluation.outcomes import BEARING_EDGES_DEG, OUTCOMES, Cell, Range, count_outcomes
from vbot_train.evaluation.recorded import Subject
from vbot_train.evaluation.video import write_video
from vbot_train.training.seed_statistics import compute_wilson_interval

SIDES = dict(zip(BEARING_EDGES_DEG, ("ahead", "side", "behind"), strict=False))  # by the smallest bearing


@dataclass(frozen=True, slots=True)
class Assessment:
    """What an evaluation found."""

    checkpoint: str
    env: str  # what was changed of the run's own environment
    seed: int  # of the starts
    episodes: int
    metrics: dict[str, float | None]
    success_rate_interval_95: Range
    reward_terms: dict[str, float]  # mean per episode; they add up to episode_reward_mean
    histogram: list[Cell]


@dataclass(frozen=True, slots=True)
class Film:
    """Episodes to film."""

    poses: list[NDArray[Any]]  # of each episode (frames, 7 + J), as in ``Simulation.qpos``
    frames_per_s: float  # [1/s]

    def write(self, out: Path) -> None:
        """Film them.

        Raises:
            ConfigError: The renderer failed.
        """
        write_video(ROBOT_XML, self.poses, out, frames_per_s=self.frames_per_s)


class Watched:
    """A policy that notes where the first of its robots are.

    Args:
        policy: Maps observations (E, 54) to actions (E, 12).
        simulation: Moves the robots that the policy steers.
        robots: How many to watch.
    """

    def __init__(self, policy: Callable[[Tensor], Tensor], simulation: Simulation, robots: int) -> None:
        self._policy = policy
        self._simulation = simulation
        self._robots = robots
        self._poses: list[Tensor] = []

    def __call__(self, observation: Tensor) -> Tensor:
        """The policy's action (E, 12) for observations (E, 54)."""
        self._poses.append(self._simulation.qpos[: self._robots].clone())
        return self._policy(observation)

    def poses(self, steps: Tensor) -> Iterator[Tensor]:
        """The poses of each watched robot's first ``steps`` (E,) control steps, (steps, 7 + J) each."""
        for robot, length in zip(torch.stack(self._poses, dim=1).cpu(), steps.tolist(), strict=False):
            yield robot[:length]


def assess(subject: Subject, episodes: int, filmed: int = 0) -> tuple[Assessment, Film]:
    """Evaluate a checkpoint.

    Args:
        subject: The checkpoint, and the config to evaluate it under.
        episodes: Number of episodes, one robot each.
        filmed: How many of them, the first ones, to keep the poses of.

    Returns:
        What was measured, and what there is to film.

    Raises:
        ConfigError: The checkpoint is not one of this config's agent.
    """
    config = subject.config
    env = build_env(config, num_envs=episodes, seed=0)
    hidden = config["network"]["hidden_layer_sizes"]
    agent = build_agent(config["ppo"], hidden, num_envs=1, env_steps=1, device=env.device)
    load_checkpoint(agent, subject.checkpoint)
    policy = Watched(partial(compute_mean_action, agent), env.simulation, filmed)
    ended = evaluate(env, policy, config["evaluation"]["seed"])
    steps = (ended.length_s / env.control_dt_s).round().long()
    poses = [robot.double().numpy() for robot in policy.poses(steps)] if filmed else []
    return describe(subject, env, ended), Film(poses, 1 / env.control_dt_s)


def describe(subject: Subject, env: NavigationEnv, ended: Episodes) -> Assessment:
    """Sum up episodes."""
    spawn = subject.config["env"]["spawn"]
    cells = count_outcomes(ended, min_radius_m=spawn["min_radius_m"], max_radius_m=spawn["max_radius_m"])
    return Assessment(
        checkpoint=str(subject.checkpoint),
        env=subject.env,
        seed=subject.config["evaluation"]["seed"],
        episodes=len(ended.robot),
        metrics=summarize(ended),
        success_rate_interval_95=compute_wilson_interval(cells[0].counts["reached"], cells[0].episodes),
        reward_terms=compute_mean_reward_terms(ended, env.reward_terms),
        histogram=cells,
    )


def build_tables(found: Assessment) -> Iterator[Table | str]:
    """An assessment, to print."""
    yield f"{found.checkpoint}: {found.episodes} episodes in {found.env}, starts of seed {found.seed}"
    yield build_metrics_table(found.metrics)
    low, high = found.success_rate_interval_95
    yield f"success_rate: 95 % interval {low:.3f} to {high:.3f} over {found.episodes} episodes"
    yield build_outcomes_table(found.histogram)
    yield build_reward_table(found.reward_terms)


def build_outcomes_table(cells: list[Cell]) -> Table:
    """Counts and shares of the outcomes, a row per distance and bearing; starts that did not occur are left out."""
    names = ("start [m]", "goal [deg]", "episodes", *OUTCOMES)
    table = Table(*names, box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for column in table.columns[2:]:
        column.justify = "right"
    for cell in cells:
        if cell.bearing_deg is None:
            table.add_section()
        if cell.episodes:
            shares = [f"{count} {count / cell.episodes:4.0%}" for count in cell.counts.values()]
            table.add_row(_distance(cell), _bearing(cell), str(cell.episodes), *shares)
    return table


def _distance(cell: Cell) -> str:
    return "all" if cell.distance_m is None else "{:g}-{:g}".format(*cell.distance_m)


def _bearing(cell: Cell) -> str:
    if cell.bearing_deg is None:
        return "all"
    low, high = cell.bearing_deg
    return f"{SIDES[low]} {low:g}-{high:g}"


def build_reward_table(terms: Mapping[str, float]) -> Table:
    """Mean reward per episode, the terms that weigh most first."""
    table = Table("reward term", "mean per episode", box=SIMPLE_HEAD, pad_edge=False, show_footer=True)
    table.columns[0].footer, table.columns[1].footer = "sum", f"{sum(terms.values()):.3f}"
    table.columns[1].justify = "right"
    for name, value in sorted(terms.items(), key=lambda item: -abs(item[1])):
        table.add_row(name, f"{value:.3f}")
    return table
