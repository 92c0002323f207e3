"""Ranking of configurations, and their text form.

A training seed has failed if it ended for good without a value. A configuration with a failed seed ranks below all
configurations without one; otherwise its mean would be over the successful seeds only.
"""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vbot_train.study.seeds import choose_attempt
from vbot_train.study.steps import correct_params
from vbot_train.study.trials import Study, Trial
from vbot_train.training.metrics import METRICS
from vbot_train.training.result import TrialResult, compute_iqm

TOP = 5


@dataclass(frozen=True, slots=True)
class Configuration:
    """One configuration and its result on each training seed."""

    trials: list[Trial]  # with a value on at least one seed, by number; the first gives the configuration its name
    runs: list[TrialResult]  # one per training seed
    metric: str  # to rank by

    @property
    def failed_seeds(self) -> dict[int, str]:
        """Status of each seed without a value."""
        return list_failed_seeds(self.runs, self.metric)

    @property
    def survivors(self) -> list[TrialResult]:
        """Runs with a value."""
        return [run for run in self.runs if run.get_objective(self.metric) is not None]

    def mean(self, metric: str) -> float | None:
        """Return the interquartile mean over the survivors; None if one of them has no value of the metric."""
        values = [run.metrics.get(metric) for run in self.survivors]
        present = [value for value in values if value is not None]
        return None if len(present) < len(values) else present[0] if len(present) == 1 else compute_iqm(present)

    @property
    def number(self) -> int:
        """Number of the first trial."""
        return self.trials[0].number

    @property
    def params(self) -> dict[str, Any]:
        """Parameters without the training seed."""
        return drop_seed(self.trials[0].params)

    def is_at(self, point: Mapping[str, Any]) -> bool:
        """Check whether the configuration is this point; earlier versions recorded some stepped values inexactly."""
        return self.params == correct_params(point, self.trials[0].distributions)

    @property
    def seeds(self) -> list[int]:
        """Training seeds with a value."""
        return [seed for run in self.survivors for seed in run.seeds]


def rank_configurations(study: Study, metric: str) -> list[Configuration]:
    """Rank the configurations with a value, best first; ties in the order of their best trials."""
    ranked = study.rank(metric)
    best_first = [*ranked, *(trial for trial in study.trials if trial.result.get_objective(metric) is None)]
    found = [_build_configuration(group, metric, study.record.retries) for group in group_by_configuration(best_first)]
    with_value = [configuration for configuration in found if configuration.trials]
    return sorted(with_value, key=lambda configuration: rank_key(configuration.runs, metric))


def group_by_configuration(trials: Iterable[Trial]) -> list[list[Trial]]:
    """Group trials by configuration, each group by number; groups in the order of their first appearance."""
    groups: dict[frozenset[tuple[str, Any]], list[Trial]] = {}
    for trial in trials:
        groups.setdefault(frozenset(drop_seed(trial.params).items()), []).append(trial)
    return [sorted(group, key=lambda trial: trial.number) for group in groups.values()]


def _build_configuration(trials: Sequence[Trial], metric: str, retries: int) -> Configuration:
    """Combine the trials of one configuration, given by number."""
    first: dict[int, int] = {}  # number of the first attempt, by number of the attempt
    attempts: dict[int, list[Trial]] = {}
    for trial in trials:
        repeated = trial.number if trial.retry_of is None else trial.retry_of
        first[trial.number] = first.get(repeated, repeated)
        attempts.setdefault(first[trial.number], []).append(trial)
    ended = [last for tried in attempts.values() if (last := choose_attempt(tried, retries)) is not None]
    with_value = [trial for trial in ended if any(run.get_objective(metric) is not None for run in trial.runs)]
    return Configuration(with_value, [run for trial in ended for run in trial.runs], metric)


def list_failed_seeds(runs: Iterable[TrialResult], metric: str) -> dict[int, str]:
    """Return the status of each run without a value, by seed."""
    return {run.seed: run.status for run in sorted(runs, key=lambda run: run.seed) if run.get_objective(metric) is None}


def rank_key(runs: Collection[TrialResult], metric: str) -> tuple[int, float, float]:
    """Return a sort key, best configuration first: the number of failed seeds, the value, then the time to the goal.

    Args:
        runs: Runs of a configuration, one per training seed.
        metric: Metric to rank by.
    """
    values = list_values(runs, metric)
    value = -METRICS[metric].sign * compute_iqm(values) if values else math.inf
    times_s = list_values(runs, "time_to_goal_s")
    return len(runs) - len(values), value, compute_iqm(times_s) if times_s else math.inf


def list_values(runs: Iterable[TrialResult], metric: str) -> list[float]:
    """List the values of a metric, without runs that have none."""
    return [value for run in runs if (value := run.get_objective(metric)) is not None]


def describe_seeds(runs: Collection[TrialResult], metric: str) -> str:
    """Format the number of a configuration's seeds that have a value."""
    if lost := len(list_failed_seeds(runs, metric)):
        return f"{len(runs) - lost} of {len(runs)} seeds"
    return f"{len(runs)} seed" + ("s" if len(runs) > 1 else "")


def describe_lost(runs: Collection[TrialResult], metric: str) -> dict[str, Any]:
    """Return the entries of the analysis file about a configuration's failed seeds, if any."""
    lost = list_failed_seeds(runs, metric)
    return {"without_value": lost, "over": describe_seeds(runs, metric)} if lost else {}


def drop_seed(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters without the training seed, which only distinguishes replicates."""
    return {key: value for key, value in params.items() if key != "seed"}


def name_configuration(number: int) -> str:
    """Return the name of the configuration whose first trial has this number."""
    return f"config_{number:03d}"


def format_params(params: Mapping[str, Any]) -> str:
    """Format parameters on one line, with short keys and four digits."""
    return "  ".join(f"{key.removeprefix('ppo.')}={format_cell(value)}" for key, value in params.items())


def format_interval(ends: Sequence[float] | None) -> str:
    """Format the two ends of an interval behind a value; nothing without an interval."""
    return "" if ends is None else f" [{format_cell(ends[0])}, {format_cell(ends[1])}]"


def format_cell(value: Any) -> str:
    """Format one value."""
    return "-" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
