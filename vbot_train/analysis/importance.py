"""Importance of each parameter, with its uncertainty.

PED-ANOVA over the completed trials measures which parameters decide whether a trial is among the best third. (Optuna's
default, the best tenth, is 6 of 64 trials: in simulated studies it finds the true top two of six parameters in two
thirds of the studies, the best third in nearly nine of ten.) fANOVA, optional, considers the whole range of values; its
intervals show its stability but are not calibrated: a parameter without effect keeps some importance.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from vbot_train.analysis.estimators.fanova import Fanova
from vbot_train.analysis.estimators.ped_anova import PedAnova
from vbot_train.analysis.estimators.resampling import Estimator, find_units, resample
from vbot_train.study.trials import Trial
from vbot_train.training.metrics import METRICS

EstimatorName = Literal["ped_anova", "fanova"]

ENOUGH_TRIALS = 30  # in simulated studies with true effects, power is 1/2 at 32 trials, 1/7 at 16
BEST = 1 / 3
COUNTS: dict[EstimatorName, tuple[int, int]] = {  # shuffles and draws; a forest is a hundred times as slow,
    "ped_anova": (200, 200),
    "fanova": (19, 20),  # and a test at 5 % needs at least 19 shuffles
}
DIGITS = 4


@dataclass(frozen=True, slots=True)
class Importance:
    """Importance of one parameter; None if the study is insufficient."""

    parameter: str
    importance: float | None = None  # share; the sum over all parameters is 1
    interval_90: tuple[float, float] | None = None  # of the importance with unlimited trials
    rank_90: tuple[int, int] | None = None  # 90 % interval of the rank; 1 is the most important


@dataclass(frozen=True, slots=True)
class ImportanceReport:
    """Importances of the parameters of a study."""

    rows: list[Importance]  # most important first
    left_out: dict[str, str]  # reason for each parameter that cannot be evaluated
    reliability: str  # "sufficient", or "insufficient" and the reason
    estimator: EstimatorName
    trials: int  # number of trials used
    where: str = ""  # point of the training at which their values are compared; empty for its end

    @property
    def is_sufficient(self) -> bool:
        """Whether the rows contain numbers."""
        return self.reliability == "sufficient"


def measure_importance(
    trials: Sequence[Trial], metric: str, *, estimator: EstimatorName = "ped_anova", seed: int = 0, where: str = ""
) -> ImportanceReport:
    """Estimate the importance of each parameter.

    Args:
        trials: Trials of a study; only those with a value of the metric are used.
        metric: One of ``result.METRICS``.
        estimator: ``ped_anova``, or ``fanova``, which takes a minute or more.
        seed: Seed of the shuffles, the resamples and the forest.
        where: Point of the training at which the values are compared, for display.

    Raises:
        StudyError: fANOVA needs scikit-learn, which is not installed.
    """
    values = {trial.number: trial.result.get_objective(metric) for trial in trials}
    known = sorted((trial for trial in trials if values[trial.number] is not None), key=lambda trial: trial.number)
    names, left_out = _choose_parameters(known, estimator)

    def report(rows: list[Importance], reliability: str) -> ImportanceReport:
        return ImportanceReport(rows, left_out, reliability, estimator, len(known), where)

    unknown = [Importance(name) for name in names]
    if len(known) < ENOUGH_TRIALS:
        return report(
            unknown, f"insufficient: {len(known)} of {ENOUGH_TRIALS} {'trials' if where else 'completed trials'}"
        )
    if not names:
        return report(unknown, "insufficient: no parameter took more than one value")
    sign = -METRICS[metric].sign
    losses = sign * np.array([values[trial.number] for trial in known], dtype=np.float64)
    evaluate: Estimator = Fanova(known, names, seed) if estimator == "fanova" else PedAnova(known, names, BEST)
    # Noise adds to each divergence; a forest explains more of it where losses are shuffled than with true effects.
    is_additive = estimator == "ped_anova"
    found = resample(evaluate, losses, find_units(known, names), COUNTS[estimator], seed, is_additive=is_additive)
    if not found.stands_out:
        return report(unknown, "insufficient: no parameter stands out from chance")
    columns = zip(names, found.shares, found.interval_90.T, found.rank_90.T, strict=True)
    rows = [
        Importance(name, round(float(share), DIGITS), _round_pair(low, high), (int(first), int(last)))
        for name, share, (low, high), (first, last) in columns
    ]
    return report(sorted(rows, key=lambda row: -(row.importance or 0.0)), "sufficient")


def _round_pair(low: float, high: float) -> tuple[float, float]:
    return round(float(low), DIGITS), round(float(high), DIGITS)


def _choose_parameters(trials: Sequence[Trial], estimator: EstimatorName) -> tuple[list[str], dict[str, str]]:
    """Return the parameters that can be evaluated and the reasons against the others; the seed is not a parameter."""
    names = dict.fromkeys(name for trial in trials for name in trial.params if name != "seed")
    reasons = {name: _explain_exclusion(name, trials, estimator) for name in names}
    left_out = {name: reason for name, reason in reasons.items() if reason is not None}
    return [name for name in names if name not in left_out], left_out


def _explain_exclusion(name: str, trials: Sequence[Trial], estimator: EstimatorName) -> str | None:
    holders = [trial for trial in trials if name in trial.params]
    values = {trial.params[name] for trial in holders}
    distributions = {trial.distributions[name] for trial in holders}
    if len(values) == 1 and all(distribution.single() for distribution in distributions):
        return f"takes one value only: {values.pop()}"
    if len(values) == 1:
        return f"only {values.pop()} was trained: no other was feasible or drawn"
    if estimator == "fanova" and len(holders) < len(trials):
        return f"only {len(holders)} of {len(trials)} trials have it: fanova needs it in all"
    if estimator == "fanova" and len(distributions) > 1:
        return "its range changed within the study: fanova needs one"
    return None
