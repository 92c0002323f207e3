"""What a chain has found, in task units: they compare across stages, whose rewards differ."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vbot_train.analysis.verdict import Retrained, Verdict
from vbot_train.training.metrics import METRICS
from vbot_train.training.result import TrialResult, compute_iqm
from vbot_train.training.seed_statistics import bootstrap_interval

TASK_METRICS = ("success_rate", "fall_rate", "stage1_points", "time_to_goal_s", "env_steps_to_success")
DECISIVE = ("stage1_points", "time_to_goal_s", "env_steps_to_success")  # one of these must be better
TOLERANCE = 0.02  # of the success rate: a winner may be worse by so much


@dataclass(frozen=True, slots=True)
class Difference:
    """One metric of the winner and of the default, on the same test seeds and starts."""

    metric: str
    ours: dict[str, Any]
    default: dict[str, Any]
    value: float | None  # winner - default, mean of the differences per seed
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
    differences: list[Difference]  # empty if the default has won, or is not tested
    untested: str | None  # why there is no test

    @property
    def sentence(self) -> str:
        """The answer in a sentence."""
        if self.is_default:
            return "No configuration was better than the default: it stays."
        if self.untested is not None:
            return f"The winner ({self.recipe}) is not tested against the default: {self.untested}."
        better = [each for each in self.differences if each.is_better and each.metric in DECISIVE]
        if self._is_success_worse():
            return f"The winner ({self.recipe}) succeeds less often than the default: the default is the better choice."
        if not better:
            return f"The winner ({self.recipe}) is not better than the default beyond the intervals of the test."
        what = ", ".join(f"{each.metric} by {abs(each.value or 0.0):.4g}" for each in better)
        return f"The winner ({self.recipe}) is better than the default: {what}."

    def _is_success_worse(self) -> bool:
        success = next((each for each in self.differences if each.metric == "success_rate"), None)
        return success is not None and success.value is not None and success.value < -TOLERANCE


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
    winner = verdict.winner
    if winner is None:
        return None
    tested = verdict.tested.get(winner.number)
    confirmed = verdict.confirmed.get(winner.number) if verdict.unconfirmed_reason is None else None
    again: Retrained | None = tested if verdict.untested_reason is None else confirmed
    how = "tested" if again is tested and tested else "confirmed" if again else "seen by the search"
    runs = winner.runs if again is None else list(again.runs.values())
    return {"stage": step, "trial": winner.number, "how": how, "seeds": len(runs), **describe_values(runs)}


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
    if recipe == default:
        return Outcome(recipe, True, [], None)
    if verdict.untested_reason is not None:
        return Outcome(recipe, False, [], verdict.untested_reason)
    ours, theirs = verdict.tested[winner.number], verdict.tested[verdict.default]
    return Outcome(recipe, False, [_compare(metric, ours, theirs) for metric in TASK_METRICS], None)


def _compare(metric: str, ours: Retrained, theirs: Retrained) -> Difference:
    """Compare two configurations that were trained on the same seeds."""
    pairs = list(_list_pairs(metric, ours.runs, theirs.runs))
    described = [describe_values(each.runs.values(), [metric]).get(metric, {}) for each in (ours, theirs)]
    value = compute_iqm(pairs) if pairs else None
    return Difference(metric, described[0], described[1], value, bootstrap_interval(pairs))


def _list_pairs(metric: str, ours: Mapping[int, TrialResult], theirs: Mapping[int, TrialResult]) -> Iterable[float]:
    for seed in sorted(ours.keys() & theirs.keys()):
        values = ours[seed].get_objective(metric), theirs[seed].get_objective(metric)
        if values[0] is not None and values[1] is not None:
            yield values[0] - values[1]
