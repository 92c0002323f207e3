"""Configurations, best first, and how they are shown.

There is one rule for a training seed that is lost, one that has ended for good without a value: its configuration is
worse than every one whose seeds all have one. Without it, the mean would be that of the survivors.
"""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vbot_train.study.seeds import choose_attempt
from vbot_train.study.steps import correct_params
from vbot_train.study.trials import Study, Trial
from vbot_train.training.result import METRICS, TrialResult, compute_iqm

TOP = 5


@dataclass(frozen=True, slots=True)
class Configuration:
    """One configuration, and what became of it on each of its training seeds."""

    trials: list[Trial]  # that have a value, at least on one of their seeds, by number; the first one names it
    runs: list[TrialResult]  # one per training seed
    metric: str  # that it is ranked by

    @property
    def failed_seeds(self) -> dict[int, str]:
        """Its seeds without a value, and how they ended."""
        return list_failed_seeds(self.runs, self.metric)

    @property
    def survivors(self) -> list[TrialResult]:
        """The runs that are not lost."""
        return [run for run in self.runs if run.objective(self.metric) is not None]

    def mean(self, metric: str) -> float | None:
        """Interquartile mean over the seeds that are not lost; None where one of them has no value of the metric."""
        values = [run.metrics.get(metric) for run in self.survivors]
        present = [value for value in values if value is not None]
        return None if len(present) < len(values) else present[0] if len(present) == 1 else compute_iqm(present)

    @property
    def number(self) -> int:
        """Of its first trial, which names it."""
        return self.trials[0].number

    @property
    def params(self) -> dict[str, Any]:
        """What it sets; the training seed is a replicate, not a parameter."""
        return drop_seed(self.trials[0].params)

    def is_at(self, point: Mapping[str, Any]) -> bool:
        """Whether it is this point; earlier versions recorded some as they were computed."""
        return self.params == correct_params(point, self.trials[0].distributions)

    @property
    def seeds(self) -> list[int]:
        """Its training seeds that are not lost."""
        return [seed for run in self.survivors for seed in run.seeds]


def rank_configurations(study: Study, metric: str) -> list[Configuration]:
    """The configurations that have a value, best first; of equals in the order of their best trials."""
    ranked = study.ranked(metric)
    best_first = [*ranked, *(trial for trial in study.trials if trial.result.objective(metric) is None)]
    found = [_build_configuration(group, metric, study.record.retries) for group in group_by_configuration(best_first)]
    with_value = [configuration for configuration in found if configuration.trials]
    return sorted(with_value, key=lambda configuration: rank_key(configuration.runs, metric))


def group_by_configuration(trials: Iterable[Trial]) -> list[list[Trial]]:
    """The trials of each configuration together, by number; the groups in the order in which they come up."""
    groups: dict[frozenset[tuple[str, Any]], list[Trial]] = {}
    for trial in trials:
        groups.setdefault(frozenset(drop_seed(trial.params).items()), []).append(trial)
    return [sorted(group, key=lambda trial: trial.number) for group in groups.values()]


def _build_configuration(trials: Sequence[Trial], metric: str, retries: int) -> Configuration:
    """What the trials of one configuration, by number, amount to."""
    first: dict[int, int] = {}  # number of the first attempt, by that of a later one
    attempts: dict[int, list[Trial]] = {}
    for trial in trials:
        repeated = trial.number if trial.retry_of is None else trial.retry_of
        first[trial.number] = first.get(repeated, repeated)
        attempts.setdefault(first[trial.number], []).append(trial)
    ended = [last for tried in attempts.values() if (last := choose_attempt(tried, retries)) is not None]
    with_value = [trial for trial in ended if any(run.objective(metric) is not None for run in trial.runs)]
    return Configuration(with_value, [run for trial in ended for run in trial.runs], metric)


def list_failed_seeds(runs: Iterable[TrialResult], metric: str) -> dict[int, str]:
    """The seeds of a configuration's runs that have no value, and how they ended."""
    return {run.seed: run.status for run in sorted(runs, key=lambda run: run.seed) if run.objective(metric) is None}


def rank_key(runs: Collection[TrialResult], metric: str) -> tuple[int, float]:
    """A key by which the best configuration sorts first: a lost seed weighs more than any value.

    Args:
        runs: A configuration's, one per training seed.
        metric: To rank by.
    """
    values = [value for run in runs if (value := run.objective(metric)) is not None]
    sign = -1 if METRICS[metric] == "maximize" else 1
    return len(runs) - len(values), sign * compute_iqm(values) if values else math.inf


def describe_seeds(runs: Collection[TrialResult], metric: str) -> str:
    """How many of a configuration's seeds its value is over, for people."""
    if lost := len(list_failed_seeds(runs, metric)):
        return f"{len(runs) - lost} of {len(runs)} seeds"
    return f"{len(runs)} seed" + ("s" if len(runs) > 1 else "")


def describe_lost(runs: Collection[TrialResult], metric: str) -> dict[str, Any]:
    """For the analysis file: a configuration's seeds without a value, if there are any."""
    lost = list_failed_seeds(runs, metric)
    return {"without_value": lost, "over": describe_seeds(runs, metric)} if lost else {}


def drop_seed(params: Mapping[str, Any]) -> dict[str, Any]:
    """What a trial's parameters say of its configuration: the training seed is a replicate."""
    return {key: value for key, value in params.items() if key != "seed"}


def name_configuration(number: int) -> str:
    """Name of the configuration whose first trial has that number."""
    return f"config_{number:03d}"


def format_params(params: Mapping[str, Any]) -> str:
    """Parameters for people, on one line: short keys, four digits."""
    return "  ".join(f"{key.removeprefix('ppo.')}={format_cell(value)}" for key, value in params.items())


def format_cell(value: Any) -> str:
    """One value for people."""
    return "-" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
