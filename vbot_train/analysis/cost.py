"""What configurations cost beside how they score: which are on the Pareto front, and the cheapest that is good enough.

The cost is that of one training: its wall clock, which decides, and its env steps. Wall clock is comparable only
between trainings of one machine under the same load. Paused, pruned and failed trials take no part, nor do
configurations with a failed seed.
"""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from vbot_train.analysis.evidence.noise import measure_noise
from vbot_train.analysis.ranking import list_failed_seeds, name_configuration
from vbot_train.analysis.verdict import DEFAULT, Verdict
from vbot_train.training.metrics import METRICS, Metric
from vbot_train.training.result import TrialResult, compute_iqm

KINDS = ("tested", "confirmed", "seen")  # kinds of value, the least biased by selection first
ROUNDING = 0.1  # relative difference in env steps that is only due to whole updates
UNKNOWN = "no configuration was trained on two seeds, so the standard error of the best value is unknown"


@dataclass(frozen=True, slots=True)
class CostPoint:
    """Value of a configuration and cost of one training: the median over its completed trainings of all stages."""

    number: int  # of the configuration, or ``DEFAULT``
    values: list[float]  # one per training seed
    value: float  # their interquartile mean
    wall_s: float  # [s]
    env_steps: int

    @property
    def name(self) -> str:
        """Name of the configuration."""
        return "default" if self.number == DEFAULT else name_configuration(self.number)


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How much worse than the best the cheapest acceptable configuration may be."""

    amount: float  # in units of the metric
    origin: str = "given"  # or how the standard error is known


@dataclass(frozen=True, slots=True)
class CostComparison:
    """Configurations compared by value and cost. All values are of one kind."""

    kind: str  # one of KINDS
    points: list[CostPoint]  # best first
    metric: Metric
    tolerance: Tolerance | None  # None: unknown

    @property
    def best(self) -> CostPoint:
        """The point with the best value."""
        return self.points[0]

    @property
    def cheapest(self) -> CostPoint | None:
        """The cheapest point whose value is good enough; None if the tolerance is unknown."""
        if self.tolerance is None:
            return None
        most = self.tolerance.amount * (1 + 1e-9)  # 0.8 - 0.7 is more than 0.1
        acceptable = [point for point in self.points if abs(point.value - self.best.value) <= most]
        return min(acceptable, key=lambda point: (point.wall_s, point.env_steps))

    @property
    def is_equally_long(self) -> bool:
        """Whether all trainings have the same length, up to whole updates."""
        env_steps = [point.env_steps for point in self.points]
        return max(env_steps) - min(env_steps) <= ROUNDING * max(env_steps)


def compare_costs(verdict: Verdict) -> CostComparison | None:
    """Compare the finalists by their confirmed values once all of them have one, else all by what the search saw.

    Tested values choose nothing, here as everywhere.

    Args:
        verdict: Verdict on the study.

    Returns:
        None if fewer than two configurations can be compared.
    """
    kind, numbers = _choose_compared(verdict)
    points = [point for point in list_points(verdict, kind) if point.number in numbers]
    if len(points) < 2:
        return None
    return CostComparison(kind, points, METRICS[verdict.metric], _choose_tolerance(verdict, points[0]))


def list_points(verdict: Verdict, kind: str) -> list[CostPoint]:
    """Return the points of all configurations that have this kind of value, best first."""
    trainings = _list_trainings(verdict)
    values = _list_values(_list_runs(verdict, kind), verdict.metric)
    points = [_build_point(n, each, trainings[n]) for n, each in values.items() if trainings[n]]
    return sorted(points, key=lambda point: -METRICS[verdict.metric].sign * point.value)


def list_front(points: Sequence[CostPoint], metric: Metric, get_cost: Callable[[CostPoint], float]) -> list[CostPoint]:
    """Return the points that no other point beats in value and cost, cheapest first; of equal points, the first one."""
    front: list[CostPoint] = []
    for point in sorted(points, key=lambda point: (get_cost(point), -metric.sign * point.value)):
        if not front or metric.sign * point.value > metric.sign * front[-1].value:
            front.append(point)
    return front


def _choose_compared(verdict: Verdict) -> tuple[str, set[int]]:
    """Return the kind of value to compare, and the numbers of the configurations to compare."""
    finalists = {found.number for found in verdict.finalists}
    if verdict.unconfirmed_reason is not None or len(finalists) < 2:
        return "seen", {found.number for found in verdict.screened}
    return "confirmed", finalists


def _choose_tolerance(verdict: Verdict, best: CostPoint) -> Tolerance | None:
    """Return the amount that was given, else one standard error of the best value; None if that is unknown.

    The study's own amount is in units of its objective, so it does not apply to another metric.
    """
    record = verdict.study.record
    own = record.settings.search.within if verdict.metric == record.metric else None
    given = own if verdict.within is None else verdict.within
    if given is not None:
        return Tolerance(given)
    if (seeds := len(best.values)) > 1:
        error = statistics.stdev(best.values) / math.sqrt(seeds)
        return Tolerance(error, f"one standard error over its {seeds} seeds")
    noise = measure_noise(verdict)
    return None if noise is None else Tolerance(noise.deviation, "one standard error by the noise between seeds")


def _list_runs(verdict: Verdict, kind: str) -> dict[int, list[TrialResult]]:
    """Return the runs on which a kind of value is based, by configuration."""
    if kind == "seen":
        return {found.number: found.runs for found in verdict.best_first}
    later = verdict.tested if kind == "tested" else verdict.confirmed
    return {number: list(again.runs.values()) for number, again in later.items()}


def _list_trainings(verdict: Verdict) -> dict[int, list[TrialResult]]:
    """Return the completed trainings of all stages whose wall clock is known, by configuration."""
    found: dict[int, list[TrialResult]] = {}
    for kind in KINDS:
        for number, runs in _list_runs(verdict, kind).items():
            known = [run for run in runs if run.status == "completed" and run.wall_time_s > 0]
            found.setdefault(number, []).extend(known)
    return found


def _list_values(runs: Mapping[int, Sequence[TrialResult]], metric: str) -> dict[int, list[float]]:
    """Return the value of each run, by configuration, without configurations with a failed seed."""
    whole = {number: each for number, each in runs.items() if each and not list_failed_seeds(each, metric)}
    found = {number: [run.get_objective(metric) for run in each] for number, each in whole.items()}
    return {number: [value for value in values if value is not None] for number, values in found.items()}


def _build_point(number: int, values: list[float], trainings: Sequence[TrialResult]) -> CostPoint:
    return CostPoint(
        number,
        values,
        values[0] if len(values) == 1 else compute_iqm(values),
        wall_s=statistics.median(run.wall_time_s for run in trainings),
        env_steps=round(statistics.median(run.env_steps for run in trainings)),
    )
