"""Stages after the search, in which its best configurations are trained again.

The best of many noisy values is biased upwards by selection. So a study has two more stages, each on training seeds of
its own: *confirm* trains the ``top_k`` finalists again and chooses the winner among them; *test* trains winner and
default once more, on held-out starts used nowhere else. No choice is based on a tested value.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from vbot_train.analysis.ranking import Configuration, describe_lost, list_failed_seeds, rank_configurations, rank_key
from vbot_train.study.seeds import choose_attempt
from vbot_train.study.trials import Study, Trial
from vbot_train.training.metrics import METRICS
from vbot_train.training.result import TrialResult, compute_iqm
from vbot_train.training.seed_statistics import bootstrap_interval

TRIAL = "trial"  # the only parameter of a later stage's trial: number of the search trial whose configuration it trains
DEFAULT = -1  # this number for a default configuration that the search did not try
ALSO = ("success_rate", "fall_rate")  # reported for every configuration in addition to the metric


@dataclass(frozen=True, slots=True)
class Retrained:
    """Runs of one configuration in a later stage."""

    runs: dict[int, TrialResult]  # by training seed

    def values(self, metric: str) -> list[float]:
        """Return the values by ascending seed, without seeds that have none."""
        found = [self.runs[seed].get_objective(metric) for seed in sorted(self.runs)]
        return [value for value in found if value is not None]

    def values_or_worst(self, metric: str) -> list[float]:
        """Return one value per seed; plus or minus infinity, the worse one, for failed seeds."""
        return [*self.values(metric), *(METRICS[metric].worst for _ in self.failed_seeds(metric))]

    def mean(self, metric: str) -> float | None:
        """Return the interquartile mean over the seeds that have a value; None if none has."""
        values = self.values(metric)
        return compute_iqm(values) if values else None

    def failed_seeds(self, metric: str) -> dict[int, str]:
        """Return the status of each seed without a value."""
        return list_failed_seeds(self.runs.values(), metric)

    def describe(self, metric: str) -> dict[str, Any]:
        """Return the seeds and each metric's IQM with its 95 % bootstrap interval, for the analysis file."""
        content = {"seeds": sorted(self.runs), **describe_lost(self.runs.values(), metric)}
        for name in dict.fromkeys((metric, *ALSO)):
            if values := self.values(name):
                ends = bootstrap_interval(values)
                content[name] = {"iqm": compute_iqm(values), "ci_95": None if ends is None else list(ends)}
        return content


@dataclass(frozen=True)
class Verdict:
    """Ranking of a study's configurations, with the results of all stages."""

    study: Study
    metric: str
    within: float | None = None  # in place of the study's search.within; see ``analysis.cost``

    @cached_property
    def confirmed(self) -> dict[int, Retrained]:
        """Results of the confirm stage so far, by number of the configuration."""
        return group_retrained(self.study, "confirm")

    @cached_property
    def tested(self) -> dict[int, Retrained]:
        """Results of the test stage so far, by number of the configuration or ``DEFAULT``."""
        return group_retrained(self.study, "test")

    @cached_property
    def screened(self) -> list[Configuration]:
        """All configurations with a value, best first by their search values."""
        return rank_configurations(self.study, self.metric)

    @cached_property
    def best_first(self) -> list[Configuration]:
        """All configurations with a value, best first; finalists by confirmed values once all of them are confirmed."""
        if self.unconfirmed_reason is not None:
            return self.screened
        finalists = self.finalists
        confirmed = {found.number: list(self.confirmed[found.number].runs.values()) for found in finalists}
        by_value = sorted(finalists, key=lambda found: rank_key(confirmed[found.number], self.metric))
        return [*by_value, *self.screened[len(finalists) :]]  # stable sort: ties in search order

    @property
    def finalists(self) -> list[Configuration]:
        """Configurations to confirm: the best by their search values."""
        stage = self.study.record.confirm
        return [] if stage is None else self.screened[: stage.top_k]

    @property
    def winner(self) -> Configuration | None:
        """The best configuration; None if no trial has a value."""
        return self.best_first[0] if self.best_first else None

    @cached_property
    def unconfirmed_reason(self) -> str | None:
        """Reason why the winner is not confirmed; None if it is."""
        stage, optimized = self.study.record.confirm, self.study.record.metric
        if not self.screened:
            return "no trial was completed"
        if stage is None:
            return "search.confirm=none"
        if self.metric != optimized:
            return f"the search confirmed what was best by {optimized}"
        if len(self.screened) < 2:
            return "one configuration: there was nothing to choose"
        return describe_missing([found.number for found in self.finalists], stage.seeds, self.confirmed, "confirming")

    @cached_property
    def untested_reason(self) -> str | None:
        """Reason why winner and default are not both tested; None if they are."""
        stage = self.study.record.test
        if self.unconfirmed_reason is not None:
            return self.unconfirmed_reason
        if stage is None:
            return "search.test=none"
        numbers = dict.fromkeys([self.best_first[0].number, self.default])
        return describe_missing(list(numbers), stage.seeds, self.tested, "testing")

    @cached_property
    def default(self) -> int:
        """Number of the default configuration among the trials; ``DEFAULT`` if none of them tried it."""
        point = self.study.record.default
        if point is not None:
            tried = [found.number for found in self.screened if found.is_at(point)]
        else:  # outside of the search space, or a record of an earlier version
            tried = [found.number for found in self.screened if any(t.origin == "default" for t in found.trials)]
        return tried[0] if tried else DEFAULT


def describe_missing(
    numbers: Sequence[int], seeds: Sequence[int], found: Mapping[int, Retrained], what: str
) -> str | None:
    """Format the number of a stage's trainings that have ended; None if all have."""
    wanted = {(number, seed) for number in numbers for seed in seeds}
    ended = {(number, seed) for number, again in found.items() for seed in again.runs} & wanted
    return f"{len(ended)} of {len(wanted)} {what} trainings have ended" if ended != wanted else None


def group_retrained(study: Study, stage: str) -> dict[int, Retrained]:
    """Group a stage's finished trainings by configuration and seed.

    Seeds that a later command line has replaced do not count: all configurations are compared on the same seeds.
    """
    planned = study.record.plan.get_stage(stage)
    seeds = [] if planned is None else planned.seeds
    attempts: dict[tuple[int, int], list[Trial]] = {}
    for trial in study.confirm if stage == "confirm" else study.test:
        if trial.result.seed in seeds:
            attempts.setdefault((trial.params[TRIAL], trial.result.seed), []).append(trial)
    found: dict[int, dict[int, TrialResult]] = {}
    for (number, seed), tried in attempts.items():
        if (last := choose_attempt(tried, study.record.retries)) is not None:
            found.setdefault(number, {})[seed] = last.result
    return {number: Retrained(runs) for number, runs in found.items()}
