"""Trends over a range, order over time, and how far trials lie apart."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from vbot_train.analysis.evidence.ranges import Range
from vbot_train.study.trials import Trial

RESAMPLES = 1000
FEWEST = 6  # trials in the outer half of a range

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Trend:
    """Whether trials become better towards one end of a range."""

    correlation: float  # Spearman's, of place and value, at the same time
    p: float  # one-sided
    p_outer: float  # the same of the half next to the end

    @property
    def weakness(self) -> float:
        """Of the two that must hold, the less certain."""
        return max(self.p, self.p_outer)


def find_trend(places: Array, values: Array) -> Trend | None:
    """The trend of values, higher is better, with places from 0 to 1; None where too few places are in a half of them.

    A search that learns moves to where it is good, so places and values change together with time. So what time
    explains is taken out of both.

    Args:
        places: (N,) of the trials, in order of time.
        values: (N,).
    """
    outer = places >= 0.5
    if min(len(set(places)), len(set(places[outer]))) < 2 or outer.sum() < FEWEST:
        return None
    correlation, p = _partial(places, values)
    return Trend(correlation, p, _partial(places[outer], values[outer])[1])


def test_improvement(values: Array) -> float:
    """One-sided p of Spearman's rank correlation of values with time."""
    return float(stats.spearmanr(np.arange(len(values)), values, alternative="greater").pvalue)


def _partial(places: Array, values: Array) -> tuple[float, float]:
    """Spearman's rank correlation given the order in time, and its one-sided p."""
    ranks = stats.rankdata([places, values, np.arange(len(places))], axis=1)
    ranks -= ranks.mean(axis=1, keepdims=True)
    time = ranks[2]
    rest = ranks[:2] - np.outer(ranks[:2] @ time / (time @ time), time)
    correlation = float(rest[0] @ rest[1] / max(np.sqrt((rest[0] @ rest[0]) * (rest[1] @ rest[1])), 1e-9))
    freedom = len(places) - 3
    t = correlation * np.sqrt(freedom / max(1 - correlation**2, 1e-9))
    return correlation, float(stats.t.sf(t, freedom))


def measure_early_share(values: Array) -> tuple[float, float, float]:
    """How much of what sets trials apart in the end was there early: a slope, that of true early on true late values.

    Early and late values are means over few episodes. Their noise lowers every correlation (Spearman 1904,
    https://doi.org/10.2307/1412159), but no covariance with what was measured on other episodes, as final values are.
    So the slope is a ratio of two of these: the final values, by rank, are the instrument of a regression with errors
    in the variables.

    Args:
        values: (N, 3) early, late and final ones.

    Returns:
        The share, and the ends of its 90 % bootstrap interval over the rows. It is 1 where late values do not rise
        with the final ones: then nothing is known.
    """
    columns = np.column_stack([values[:, :2], stats.rankdata(values[:, 2])])
    rows = np.random.default_rng(0).integers(len(columns), size=(RESAMPLES, len(columns)))
    samples = columns[np.vstack([np.arange(len(columns)), rows])]  # (1 + RESAMPLES, N, 3)
    centred = samples - samples.mean(axis=1, keepdims=True)
    early, late = (centred[:, :, :2] * centred[:, :, 2:]).sum(axis=1).T
    shares = np.divide(early, late, out=np.ones_like(early), where=late > 0)
    low, high = np.quantile(shares[1:], [0.05, 0.95])
    return float(shares[0]), float(low), float(high)


def measure_distance(trials: Sequence[Trial], ranges: Sequence[Range]) -> float:
    """Mean distance of two of the trials, each range in its own scale: 1 is from one end to the other."""
    return float(np.mean([_apart(there, [trial.params[there.key] for trial in trials]) for there in ranges]))


def _apart(there: Range, values: Sequence[object]) -> float:
    pairs = len(values) * (len(values) - 1) / 2
    if there.ordered:
        places = np.sort([there.place(value) for value in values])
        return float((places * (2 * np.arange(len(places)) - len(places) + 1)).sum() / pairs)
    counts = np.unique([str(value) for value in values], return_counts=True)[1]
    return float(1 - (counts * (counts - 1) / 2).sum() / pairs)
