"""Evaluation of a policy, and the tables that show its results."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from rich.box import SIMPLE_HEAD
from rich.table import Table
from torch import Tensor

from vbot_train.config.composition import ConfigError
from vbot_train.env.environment import Environment, build_env
from vbot_train.env.episodes import Episodes
from vbot_train.evaluation.held_out import (
    build_metrics_table,
    compute_mean_reward_terms,
    evaluate,
    summarize,
)
from vbot_train.evaluation.outcomes import BEARING_EDGES_DEG, OUTCOMES, Cell, Range, count_outcomes
from vbot_train.evaluation.policies import Policy, load_policy
from vbot_train.evaluation.recorded import Subject
from vbot_train.evaluation.video import write_video
from vbot_train.training.seed_statistics import compute_wilson_interval

SIDES = dict(zip(BEARING_EDGES_DEG, ("ahead", "side", "behind"), strict=False))  # by the lower edge of the bearing


@dataclass(frozen=True, slots=True)
class Assessment:
    """The results of an evaluation."""

    checkpoint: str  # or exported policy
    env: str  # changes relative to the run's own environment, for display
    seed: int  # of the start states
    episodes: int
    metrics: dict[str, float | None]
    success_rate_interval_95: Range
    reward_terms: dict[str, float]  # mean per episode; the sum is episode_reward_mean
    histogram: list[Cell]


@dataclass(frozen=True, slots=True)
class Film:
    """Recorded poses of the episodes to film."""

    robot_xml: Path  # MuJoCo model of the robot
    poses: list[NDArray[Any]]  # one array (frames, size of the model's qpos) per episode
    frames_per_s: float  # [1/s]

    def write(self, out: Path) -> None:
        """Render the episodes into a video.

        Raises:
            ConfigError: The renderer failed.
        """
        write_video(self.robot_xml, self.poses, out, frames_per_s=self.frames_per_s)


class Watched:
    """A policy that also records the poses of the first robots at every control step.

    Args:
        policy: The policy.
        env: The robots' environment.
        robots: Number of robots to record.
    """

    def __init__(self, policy: Policy, env: Environment, robots: int) -> None:
        self._policy = policy
        self._env = env
        self._robots = robots
        self._poses: list[Tensor] = []

    def __call__(self, observation: Tensor) -> Tensor:
        """Record the poses and return the policy's action (E, J) for observations (E, N)."""
        if self._robots and self._env.poses is not None:
            self._poses.append(self._env.poses[: self._robots].clone())
        return self._policy(observation)

    def list_poses(self, steps: Tensor) -> Iterator[Tensor]:
        """Yield the poses of each recorded robot in its first ``steps`` (E,) control steps, (steps, 7 + J) each."""
        for robot, length in zip(torch.stack(self._poses, dim=1).cpu(), steps.tolist(), strict=False):
            yield robot[:length]


def assess(subject: Subject, episodes: int, filmed: int = 0) -> tuple[Assessment, Film | None]:
    """Evaluate a policy.

    Args:
        subject: The policy, and the config to evaluate it under.
        episodes: Number of episodes, one robot each.
        filmed: Number of episodes, from the first on, whose poses are recorded.

    Returns:
        The results, and the film if one was asked for.

    Raises:
        ConfigError: The policy does not fit this config's agent or task, or the task has no video.
    """
    config = subject.config
    env = build_env(config, num_envs=episodes, seed=0)
    if filmed and env.robot_xml is None:
        raise ConfigError(f"--video: env.task={config.env.task} has no video")
    policy = Watched(load_policy(subject.policy, config, env), env, filmed)
    ended = evaluate(env, policy, config.evaluation.seed)
    found = describe(subject, env, ended)
    if not filmed or env.robot_xml is None:
        return found, None
    steps = (ended.length_s / env.control_dt_s).round().long()
    poses = [robot.double().numpy() for robot in policy.list_poses(steps)]
    return found, Film(env.robot_xml, poses, 1 / env.control_dt_s)


def describe(subject: Subject, env: Environment, ended: Episodes) -> Assessment:
    """Compute the results of finished episodes."""
    nearest_m, farthest_m = env.start_range_m
    cells = count_outcomes(ended, min_radius_m=nearest_m, max_radius_m=farthest_m)
    return Assessment(
        checkpoint=str(subject.policy),
        env=subject.env,
        seed=subject.config.evaluation.seed,
        episodes=len(ended.robot),
        metrics=summarize(ended),
        success_rate_interval_95=compute_wilson_interval(cells[0].counts["reached"], cells[0].episodes),
        reward_terms=compute_mean_reward_terms(ended, env.reward_terms),
        histogram=cells,
    )


def build_tables(found: Assessment) -> Iterator[Table | str]:
    """Yield the tables and lines that show an assessment."""
    yield f"{found.checkpoint}: {found.episodes} episodes in {found.env}, starts of seed {found.seed}"
    yield build_metrics_table(found.metrics)
    low, high = found.success_rate_interval_95
    yield f"success_rate: 95 % interval {low:.3f} to {high:.3f} over {found.episodes} episodes"
    yield build_outcomes_table(found.histogram)
    yield build_reward_table(found.reward_terms)


def build_outcomes_table(cells: list[Cell]) -> Table:
    """Build the table of outcome counts and shares, a row per distance and bearing range; empty ranges are left out."""
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
    """Build the table of the mean reward per episode and term, largest absolute value first."""
    table = Table("reward term", "mean per episode", box=SIMPLE_HEAD, pad_edge=False, show_footer=True)
    table.columns[0].footer, table.columns[1].footer = "sum", f"{sum(terms.values()):.3f}"
    table.columns[1].justify = "right"
    for name, value in sorted(terms.items(), key=lambda item: -abs(item[1])):
        table.add_row(name, f"{value:.3f}")
    return table
