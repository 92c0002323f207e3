"""Comparison of two or more configurations: differences in settings and in results."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from vbot_train.analysis.curves import BestSoFar, Curve, find_common_env_steps, mean_curve, trace_best_so_far
from vbot_train.study.errors import StudyError
from vbot_train.study.trials import Study, tell_left_out
from vbot_train.training.metrics import METRICS
from vbot_train.training.result import TrialResult, compute_iqm
from vbot_train.training.seed_statistics import (
    bootstrap_difference_interval,
    bootstrap_interval,
    compute_wilson_interval,
    estimate_probability_of_improvement,
)

RATES = ("success_rate", "fall_rate", "out_of_bounds_rate")  # proportions of the held-out episodes
REWARD = "episode_reward_mean"
ABSENT = "absent"  # value of a key that a side lacks, for example from another version of the code

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class ComparedRun:
    """One side of a comparison: a configuration and its runs."""

    path: Path  # as given by the user
    what: str  # description for the user
    stage: str | None  # stage of the study that the runs are from; None for a single run
    settings: Mapping[str, Any]  # all settings that affect a result, by dotted key
    seeds: Mapping[str, Any]  # seeds of training and of the held-out starts, which are no settings
    runs: Mapping[int, TrialResult]  # completed runs, by training seed
    episodes: int  # number of held-out episodes of each run's metrics
    curves: Sequence[Curve]  # learning curves, where available
    study: Study | None = None
    failed_seeds: Mapping[int, str] = field(default_factory=dict)  # status of each seed that was not completed

    def values(self, metric: str) -> dict[int, float]:
        """Return the values by training seed, without runs that have none."""
        found = {seed: self.runs[seed].get_objective(metric) for seed in sorted(self.runs)}
        return {seed: value for seed, value in found.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Estimate:
    """Estimate of one metric from the runs of a side."""

    value: float | None  # interquartile mean over the runs that have a value
    interval_95: Interval | None
    over: str | None  # population of the interval: training seeds, or the episodes of the only run
    runs: int  # number of runs with a value


@dataclass(frozen=True, slots=True)
class Difference:
    """Difference between two sides, ``ours - theirs``."""

    value: float | None
    interval_95: Interval | None
    probability_of_improvement: float | None  # P(a run of ours is better than one of theirs)
    how: str  # method of comparison, or the reason why there is no estimate


@dataclass(frozen=True)
class Comparison:
    """Comparison of the first side with each other one.

    Args:
        sides: At least two sides.
        metric: Metric of the differences.
    """

    sides: Sequence[ComparedRun]
    metric: str

    @cached_property
    def settings(self) -> dict[str, list[Any]]:
        """Settings that differ, by key: one value per side."""
        return find_differing([side.settings for side in self.sides])

    @cached_property
    def seeds(self) -> dict[str, list[Any]]:
        """Seeds that differ, by key: one value per side."""
        return find_differing([side.seeds for side in self.sides])

    @cached_property
    def metrics(self) -> dict[str, list[Estimate]]:
        """Estimates of each metric, one per side."""
        return {metric: [estimate(side, metric) for side in self.sides] for metric in METRICS}

    @cached_property
    def differences(self) -> list[Difference]:
        """Differences between the first side and each other one."""
        return [estimate_difference(self.sides[0], side, self.metric) for side in self.sides[1:]]

    @property
    def is_same(self) -> bool:
        """Whether the runs of all sides have identical metrics."""
        metrics = [[side.runs[seed].metrics for seed in sorted(side.runs)] for side in self.sides]
        return all(found == metrics[0] for found in metrics)

    @cached_property
    def env_steps(self) -> list[int]:
        """Env steps at which the learning curves are compared; empty without a curve."""
        lengths = [float(curve.env_steps[-1]) for side in self.sides for curve in side.curves]
        return find_common_env_steps(lengths) if lengths else []

    @cached_property
    def curves(self) -> list[Curve | None]:
        """Learning curve of each side at ``env_steps``, mean over its seeds; None without curves."""
        env_steps = np.array(self.env_steps, dtype=float)
        return [mean_curve(side.curves, env_steps) if side.curves else None for side in self.sides]

    @cached_property
    def climbs(self) -> dict[int, BestSoFar]:
        """Best-so-far curve of each study among the sides, by index of the side."""
        studies = [(i, side.study) for i, side in enumerate(self.sides)]
        return {i: trace_best_so_far(study, self.metric) for i, study in studies if study is not None}

    @property
    def budgets(self) -> list[int]:
        """Env steps at which the studies are compared; empty without a study."""
        totals = [found.env_steps[-1] for found in self.climbs.values()]
        return find_common_env_steps(totals) if totals else []

    @property
    def warnings(self) -> list[str]:
        """Reasons why the sides are hard to compare, one line each."""
        lines = [f"{side.path}: {line}" for side in self.sides if side.study for line in tell_left_out(side.study)]
        if self.metric == REWARD and is_reward_changed(self.settings):
            lines.append(f"the rewards differ, so {REWARD} does not compare: --metric success_rate does")
        prefixes = ("env.", "evaluation.", "training.") if self.climbs else ("env.", "evaluation.")
        if keys := [key for key in self.settings if key.startswith(prefixes) or key.endswith(".evaluation_episodes")]:
            lines.append(f"the tasks differ in {', '.join(keys)}")
        if "evaluation.seed" in self.seeds:
            lines.append("the held-out starts differ (evaluation.seed)")
        if len(stages := {side.stage for side in self.sides if side.stage is not None}) > 1:
            text = f"the studies are at different stages ({', '.join(sorted(stages))})"
            lines.append(f"{text}: only equal ones compare fairly, as the best that a search saw is partly luck")
        return lines


def choose_metric(sides: Sequence[ComparedRun], asked: str | None) -> str:
    """Choose the metric of the differences: ``asked``, else the objective of the studies, else the reward.

    The success rate replaces the reward if the reward weights differ, since such rewards are not comparable.

    Raises:
        StudyError: The studies optimized different metrics.
    """
    if asked is not None:
        return asked
    optimized = {side.path: side.study.record.metric for side in sides if side.study is not None}
    if len(set(optimized.values())) > 1:
        each = ", ".join(f"{path} optimized {metric}" for path, metric in optimized.items())
        raise StudyError(f"mixed metrics: {each}; choose one with --metric")
    metric = next(iter(optimized.values()), REWARD)
    same = not is_reward_changed(find_differing([side.settings for side in sides]))
    return metric if same or metric != REWARD else "success_rate"


def is_reward_changed(settings: Mapping[str, Any]) -> bool:
    """Check whether any of the settings that differ belongs to the reward."""
    return any(key.startswith("reward.") for key in settings)


def find_differing(settings: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Return the keys whose values differ, with one value per side; ``ABSENT`` if a side lacks the key."""
    keys = dict.fromkeys(key for values in settings for key in values)
    rows = {key: [values.get(key, ABSENT) for values in settings] for key in keys}
    return {key: row for key, row in rows.items() if any(value != row[0] for value in row)}


def estimate(side: ComparedRun, metric: str) -> Estimate:
    """Estimate one metric of a side.

    The interval is a bootstrap over training seeds; for a single seed, a Wilson interval over episodes (rates only).
    """
    values = list(side.values(metric).values())
    if not values:
        return Estimate(None, None, None, 0)
    if len(values) > 1:
        return Estimate(compute_iqm(values), bootstrap_interval(values), "training seeds", len(values))
    if metric in RATES:
        return Estimate(
            values[0], compute_wilson_interval(round(values[0] * side.episodes), side.episodes), "episodes", 1
        )
    return Estimate(values[0], None, None, 1)


def estimate_difference(ours: ComparedRun, theirs: ComparedRun, metric: str) -> Difference:
    """Estimate the difference between two sides.

    It is the interquartile mean of the differences per seed if both sides have the same training seeds, else the
    difference of the interquartile means. There is no estimate if any run has no value.
    """
    for side in (ours, theirs):
        runs = len(side.runs) + len(side.failed_seeds)
        if missing := runs - len(side.values(metric)):
            return Difference(None, None, None, f"{missing} of {runs} runs of {side.path} have no {metric}")
    our, their = ours.values(metric), theirs.values(metric)
    a, b = list(our.values()), list(their.values())
    if len(a) == len(b) == 1:
        how = "one seed each: that says nothing of other seeds"
        return Difference(round(a[0] - b[0], 6), None, None, how)
    if min(len(a), len(b)) == 1:
        how = f"{len(a)} against {len(b)} seeds: one says nothing of other seeds"
        return Difference(round(compute_iqm(a) - compute_iqm(b), 6), None, None, how)
    probability = estimate_probability_of_improvement(a, b, maximize=METRICS[metric].is_maximized)
    if our.keys() == their.keys():
        pairs = [our[seed] - their[seed] for seed in our]
        return Difference(
            compute_iqm(pairs), bootstrap_interval(pairs), probability, f"paired by seed: {', '.join(map(str, our))}"
        )
    how = f"{len(a)} against {len(b)} seeds, not paired"
    return Difference(round(compute_iqm(a) - compute_iqm(b), 6), bootstrap_difference_interval(a, b), probability, how)
