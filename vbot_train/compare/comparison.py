"""Two or more configurations against each other: what differs, in what they set and in what came of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from vbot_train.analysis.curves import BestSoFar, Curve, find_common_env_steps, mean_curve, trace_best_so_far
from vbot_train.study.errors import StudyError
from vbot_train.study.trials import Study, tell_left_out
from vbot_train.training.result import METRICS, TrialResult, compute_iqm
from vbot_train.training.seed_statistics import (
    bootstrap_difference_interval,
    bootstrap_interval,
    compute_wilson_interval,
    estimate_probability_of_improvement,
)

RATES = ("success_rate", "fall_rate", "out_of_bounds_rate")  # shares of the held-out episodes
REWARD = "episode_reward_mean"
ABSENT = "absent"  # a key that another version of the code did not know

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class ComparedRun:
    """One configuration, and its runs."""

    path: Path  # what the user named
    what: str  # it stands for, for people
    stage: str | None  # of its study that the runs are from, None of a run
    settings: Mapping[str, Any]  # what a result depends on, by dotted key
    seeds: Mapping[str, Any]  # apart from the settings: of training and of the held-out starts
    runs: Mapping[int, TrialResult]  # that were completed, by training seed
    episodes: int  # held-out, behind each run's metrics
    curves: Sequence[Curve]  # of the runs that have one
    study: Study | None = None
    failed_seeds: Mapping[int, str] = field(default_factory=dict)  # seeds that were not completed, and how they ended

    def values(self, metric: str) -> dict[int, float]:
        """The runs' values by training seed, without those that have none."""
        found = {seed: self.runs[seed].objective(metric) for seed in sorted(self.runs)}
        return {seed: value for seed, value in found.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Estimate:
    """What the runs of a side say of one metric."""

    value: float | None  # interquartile mean over the runs that have a value
    interval_95: Interval | None
    over: str | None  # what the interval is over: training seeds, or the episodes of the only run
    runs: int  # that have a value


@dataclass(frozen=True, slots=True)
class Difference:
    """One side against another, ``ours - theirs``."""

    value: float | None
    interval_95: Interval | None
    probability_of_improvement: float | None  # that a run of ours is better than one of theirs
    how: str  # what was held against what, or why nothing can be said


@dataclass(frozen=True)
class Comparison:
    """Sides, the first of them against each other one.

    Args:
        sides: At least two.
        metric: What the differences are about.
    """

    sides: Sequence[ComparedRun]
    metric: str

    @cached_property
    def settings(self) -> dict[str, list[Any]]:
        """The settings that differ, by key: a value for each side."""
        return find_differing([side.settings for side in self.sides])

    @cached_property
    def seeds(self) -> dict[str, list[Any]]:
        """The seeds that differ."""
        return find_differing([side.seeds for side in self.sides])

    @cached_property
    def metrics(self) -> dict[str, list[Estimate]]:
        """Each metric of each side."""
        return {metric: [estimate(side, metric) for side in self.sides] for metric in METRICS}

    @cached_property
    def differences(self) -> list[Difference]:
        """The first side against each other one."""
        return [estimate_difference(self.sides[0], side, self.metric) for side in self.sides[1:]]

    @property
    def is_same(self) -> bool:
        """Whether all runs have the very same metrics."""
        metrics = [[side.runs[seed].metrics for seed in sorted(side.runs)] for side in self.sides]
        return all(found == metrics[0] for found in metrics)

    @cached_property
    def env_steps(self) -> list[int]:
        """At which the learning curves are compared; none without a curve."""
        lengths = [float(curve.env_steps[-1]) for side in self.sides for curve in side.curves]
        return find_common_env_steps(lengths) if lengths else []

    @cached_property
    def curves(self) -> list[Curve | None]:
        """Each side's learning curve at those env steps, mean over its seeds."""
        env_steps = np.array(self.env_steps, dtype=float)
        return [mean_curve(side.curves, env_steps) if side.curves else None for side in self.sides]

    @cached_property
    def climbs(self) -> dict[int, BestSoFar]:
        """What each study among the sides had found by when, by position."""
        studies = [(i, side.study) for i, side in enumerate(self.sides)]
        return {i: trace_best_so_far(study, self.metric) for i, study in studies if study is not None}

    @property
    def budgets(self) -> list[int]:
        """Env steps at which the studies are compared; none without a study."""
        totals = [found.env_steps[-1] for found in self.climbs.values()]
        return find_common_env_steps(totals) if totals else []

    @property
    def warnings(self) -> list[str]:
        """What makes the sides hard to compare, a line each."""
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
    """What the differences are about: what was asked for, else what the studies optimized, else the reward.

    The reward does not compare across different weights: there it is the success rate.

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
    """Whether the settings that differ are also those of the reward."""
    return any(key.startswith("reward.") for key in settings)


def find_differing(settings: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """The keys whose values are not all the same, with the value of each; ``ABSENT`` where there is none."""
    keys = dict.fromkeys(key for values in settings for key in values)
    rows = {key: [values.get(key, ABSENT) for values in settings] for key in keys}
    return {key: row for key, row in rows.items() if any(value != row[0] for value in row)}


def estimate(side: ComparedRun, metric: str) -> Estimate:
    """One metric of a side.

    Over several training seeds with a bootstrap interval; of one only a rate has an interval, over its episodes.
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
    """One side against another.

    With the same training seeds on both sides, the interquartile mean of the differences seed by seed, else the
    difference of the interquartile means. Nothing is said where a run has no value: what never happened has no mean.
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
    probability = estimate_probability_of_improvement(a, b, maximize=METRICS[metric] == "maximize")
    if our.keys() == their.keys():
        pairs = [our[seed] - their[seed] for seed in our]
        return Difference(
            compute_iqm(pairs), bootstrap_interval(pairs), probability, f"paired by seed: {', '.join(map(str, our))}"
        )
    how = f"{len(a)} against {len(b)} seeds, not paired"
    return Difference(round(compute_iqm(a) - compute_iqm(b), 6), bootstrap_difference_interval(a, b), probability, how)
