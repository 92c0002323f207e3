"""What comes after the search: its best configurations trained again, and what can then be said of them.

The best of many noisy values is partly the luckiest one. So a study goes on in two stages, each on training seeds of
its own: *confirm* trains the ``top_k`` finalists again and chooses the winner among them; *test* trains winner and
default once more, on starts that nothing else has seen. No choice is ever made on a tested value.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from vbot_train.analysis.ranking import Configuration, configurations
from vbot_train.analysis.trials import Study, Trial
from vbot_train.result import METRICS, TrialResult, iqm
from vbot_train.statistics import interval

TRIAL = "trial"  # the one parameter of a later stage's trainings: number of the trial whose configuration it is
DEFAULT = -1  # that number where the search did not try the default configuration itself
ALSO = ("success_rate", "fall_rate")  # told of every configuration, beside the metric that was optimized


@dataclass(frozen=True, slots=True)
class Retrained:
    """One configuration, trained again by a later stage."""

    runs: dict[int, TrialResult]  # by training seed

    def values(self, metric: str) -> list[float]:
        """One number per seed, without those that have none."""
        found = [self.runs[seed].objective(metric) for seed in sorted(self.runs)]
        return [value for value in found if value is not None]

    def mean(self, metric: str) -> float | None:
        """Interquartile mean over the seeds that have a value; None where none has."""
        values = self.values(metric)
        return iqm(values) if values else None

    def worst_first(self, metric: str) -> tuple[int, float]:
        """A key by which the best sorts last: a seed without a value weighs more than any value."""
        sign = 1 if METRICS[metric] == "maximize" else -1
        values = self.values(metric)
        return len(values) - len(self.runs), sign * iqm(values) if values else 0.0

    def describe(self, metric: str) -> dict[str, Any]:
        """For the analysis file: seeds, and each metric's interquartile mean with its 95 % bootstrap interval."""
        broken = {seed: run.status for seed, run in sorted(self.runs.items()) if run.objective(metric) is None}
        content: dict[str, Any] = {"seeds": sorted(self.runs)}
        if broken:
            content["without_value"] = broken
        for name in dict.fromkeys((metric, *ALSO)):
            if values := self.values(name):
                ends = interval(values)
                content[name] = {"iqm": iqm(values), "ci_95": None if ends is None else list(ends)}
        return content


@dataclass(frozen=True)
class Verdict:
    """A study's configurations, and what is known of the best of them."""

    study: Study
    metric: str

    @cached_property
    def confirmed(self) -> dict[int, Retrained]:
        """What confirming has said so far, by the number of the configuration."""
        return retrained(self.study.confirm)

    @cached_property
    def tested(self) -> dict[int, Retrained]:
        """What testing has said so far, by the number of the configuration; ``DEFAULT`` is one."""
        return retrained(self.study.test)

    @cached_property
    def screened(self) -> list[Configuration]:
        """All configurations with a value, best first by what the search saw."""
        return configurations(self.study.ranked(self.metric), self.metric)

    @cached_property
    def best_first(self) -> list[Configuration]:
        """The same, but the finalists first, by their confirmed values, once all of them are confirmed."""
        if self.doubt is not None:
            return self.screened
        finalists = self.finalists
        by_value = sorted(finalists, key=lambda found: self.confirmed[found.number].worst_first(self.metric))[::-1]
        return [*by_value, *self.screened[len(finalists) :]]

    @property
    def finalists(self) -> list[Configuration]:
        """The configurations that are confirmed: the best by what the search saw."""
        return choose_finalists(self.screened, self.study.record)

    @property
    def winner(self) -> Configuration | None:
        """The best configuration; None where no trial has a value."""
        return self.best_first[0] if self.best_first else None

    @cached_property
    def doubt(self) -> str | None:
        """Why the winner is not confirmed; None if it is."""
        settings, optimized = self.study.record.get("confirm"), self.study.record["metric"]
        if not self.screened:
            return "no trial was completed"
        if settings is None:
            return "search.confirm=none"
        if self.metric != optimized:
            return f"the search confirmed what was best by {optimized}"
        if len(self.screened) < 2:
            return "one configuration: there was nothing to choose"
        wanted = {(found.number, seed) for found in self.finalists for seed in settings["seeds"]}
        ended = {(number, seed) for number, found in self.confirmed.items() for seed in found.runs}
        if missing := len(wanted - ended):
            return f"{len(wanted) - missing} of {len(wanted)} confirming trainings have ended"
        return None

    @cached_property
    def default(self) -> int:
        """Number of the default configuration: of the trial that tried it, or ``DEFAULT``."""
        tried = [found.number for found in self.screened if any(t.origin == "default" for t in found.trials)]
        return tried[0] if tried else DEFAULT


def choose_finalists(screened: Sequence[Configuration], record: Mapping[str, Any]) -> list[Configuration]:
    """The configurations that a study confirms, of all of them, best first."""
    settings = record.get("confirm")
    return [] if settings is None else list(screened[: settings["top_k"]])


def retrained(trials: Sequence[Trial]) -> dict[int, Retrained]:
    """A stage's trainings by configuration and seed; of several attempts the one that was completed, else the last."""
    found: dict[int, dict[int, TrialResult]] = {}
    for trial in trials:
        runs = found.setdefault(trial.params[TRIAL], {})
        earlier = runs.get(trial.result.seed)
        if trial.result.status != "interrupted" and (earlier is None or earlier.status != "completed"):
            runs[trial.result.seed] = trial.result
    return {number: Retrained(runs) for number, runs in found.items() if runs}
