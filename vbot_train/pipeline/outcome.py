"""What a chain has found, in task units: they compare across stages, whose rewards differ."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from vbot_train.analysis.ranking import Configuration
from vbot_train.analysis.verdict import Retrained, Verdict
from vbot_train.training.metrics import METRICS
from vbot_train.training.result import TrialResult, compute_iqm
from vbot_train.training.seed_statistics import bootstrap_interval, caution_few_seeds

TASK_METRICS = ("success_rate", "fall_rate", "stage1_points", "time_to_goal_s", "env_steps_to_success")
DECISIVE = ("success_rate", "stage1_points", "time_to_goal_s", "env_steps_to_success")  # one of these must be better
SEEN = "seen by the search"  # values of one seed, by which they were chosen
TOLERANCE = 0.02  # of the success rate: a winner may be worse by so much


@dataclass(frozen=True, slots=True)
class Difference:
    """One metric of the winner and of the default, on the same test seeds and starts."""

    metric: str
    ours: dict[str, Any]
    default: dict[str, Any]
    value: float | None  # winner - default, over the differences per seed; None if a run has no value
    interval_95: tuple[float, float] | None

    @property
    def is_better(self) -> bool:
        """Whether the whole interval lies on the better side."""
        if self.interval_95 is None:
            return False
        return min(METRICS[self.metric].sign * end for end in self.interval_95) > 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """The test of a chain's winner against the default it started from."""

    recipe: str  # of the winner
    is_default: bool
    differences: Sequence[Difference] = ()  # empty if the default has won, or nothing is tested
    untested: str | None = None  # why nothing is tested
    seeds: int = 0  # of the test
    failed: tuple[int, int] = (0, 0)  # seeds without a result: the winner's and the default's

    @property
    def takes_over(self) -> bool:
        """Whether the winner takes the place of the default: it is better, and surely succeeds no less often.

        Where nothing is tested, the confirmed winner is the best that is known.
        """
        return self.untested is not None or (self._find_worse() is None and bool(self._list_better()))

    @property
    def sentence(self) -> str:
        """The answer in a sentence."""
        winner = f"The winner ({self.recipe})"
        if self.is_default:
            reason = "" if self.untested is None else f" ({self.untested})"
            return f"No configuration was found to be better than the default{reason}: it stays."
        if self.untested is not None:
            return f"{winner} is not tested against the default: {self.untested}."
        if (worse := self._find_worse()) is not None:
            return f"{winner} {worse}: the default stays."
        if better := self._list_better():
            return f"{winner} is better than the default: {', '.join(better)}."
        return f"{winner} is not better than the default beyond the intervals of the test: the default stays."

    @property
    def cautions(self) -> list[str]:
        """What is to be kept in mind about the intervals."""
        caution = caution_few_seeds(self.seeds) if self.differences else None
        return [] if caution is None else [f"in brackets: the 95 % bootstrap interval over training seeds; {caution}"]

    def _find_worse(self) -> str | None:
        """Say how the winner fails or succeeds less often than the default, or may do so; None if it does not."""
        if self.failed[0] > self.failed[1]:
            return f"fails on {self.failed[0]} of {self.seeds} training seeds, the default on {self.failed[1]}"
        success = next((each for each in self.differences if each.metric == "success_rate"), None)
        if success is None or success.value is None:
            return None
        if success.value < -TOLERANCE:
            return "succeeds less often than the default"
        if success.interval_95 is not None and success.interval_95[0] < -TOLERANCE:
            return f"may succeed less often than the default, by up to {-success.interval_95[0]:.3g}"
        return None

    def _list_better(self) -> list[str]:
        better = [each for each in self.differences if each.is_better and each.metric in DECISIVE]
        return [f"{each.metric} by {abs(each.value or 0.0):.4g}" for each in better]


def describe_values(runs: Iterable[TrialResult], metrics: Sequence[str] = TASK_METRICS) -> dict[str, dict[str, Any]]:
    """Describe metrics over training seeds: interquartile mean and 95 % interval; without those that have no value."""
    results, found = list(runs), {}
    for metric in metrics:
        values = [value for run in results if (value := run.get_objective(metric)) is not None]
        if values:
            ends = bootstrap_interval(values)
            found[metric] = {"iqm": round(compute_iqm(values), 6), "ci_95": None if ends is None else list(ends)}
    return found


def describe_best(verdict: Verdict, step: str) -> dict[str, Any] | None:
    """Describe the best configuration of a study so far, for the state; None before the first trial is completed."""
    return None if verdict.winner is None else _describe(verdict, verdict.winner, step)


def describe_default(verdict: Verdict, step: str) -> dict[str, Any] | None:
    """Describe the default configuration in the same way; None if it was not completed."""
    default = next((found for found in verdict.screened if found.number == verdict.default), None)
    return None if default is None else _describe(verdict, default, step)


def _describe(verdict: Verdict, winner: Configuration, step: str) -> dict[str, Any]:
    tested = verdict.tested.get(winner.number)
    confirmed = verdict.confirmed.get(winner.number) if verdict.unconfirmed_reason is None else None
    again: Retrained | None = tested if verdict.untested_reason is None else confirmed
    how = "tested" if again is tested and tested else "confirmed" if again else SEEN
    runs = winner.runs if again is None else list(again.runs.values())
    return {"stage": step, "trial": winner.number, "how": how, "seeds": len(runs), **describe_values(runs)}


def has_reached_goal(verdict: Verdict) -> bool:
    """Check whether the best configuration of a study ever reached the goal; if not, its other values say little.

    The return of robots that only stand still is often higher than that of robots that begin to walk.
    """
    winner = verdict.winner
    if winner is None:
        return False
    confirmed = verdict.confirmed.get(winner.number)
    runs = [*winner.runs, *([] if confirmed is None else confirmed.runs.values())]
    return any(run.metrics.get("success_rate") != 0 for run in runs)


def find_outcome(verdict: Verdict, default: str) -> Outcome | None:
    """Find the outcome of the study that compared a chain's candidates; None if it has no winner.

    Args:
        verdict: The study's verdict.
        default: Recipe of the configuration that the chain started from.
    """
    winner = verdict.winner
    if winner is None:
        return None
    recipe = str(winner.params["experiment"])
    if recipe == default or verdict.untested_reason is not None:
        return Outcome(recipe, recipe == default, untested=verdict.untested_reason)
    ours, theirs = verdict.tested[winner.number], verdict.tested[verdict.default]
    failed = len(ours.failed_seeds(verdict.metric)), len(theirs.failed_seeds(verdict.metric))
    differences = [_compare(metric, ours, theirs) for metric in TASK_METRICS]
    return Outcome(recipe, False, differences, None, len(ours.runs), failed)


def _compare(metric: str, ours: Retrained, theirs: Retrained) -> Difference:
    """Compare two configurations that were trained on the same seeds. If a run has no value, there is no difference."""
    described = [describe_values(each.runs.values(), [metric]).get(metric, {}) for each in (ours, theirs)]
    if ours.failed_seeds(metric) or theirs.failed_seeds(metric):
        return Difference(metric, described[0], described[1], None, None)
    pairs = [a - b for a, b in zip(ours.values(metric), theirs.values(metric), strict=True)]
    return Difference(metric, described[0], described[1], compute_iqm(pairs), bootstrap_interval(pairs))
