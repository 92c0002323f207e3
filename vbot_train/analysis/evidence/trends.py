"""Trends over a range, and improvement over time."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

RESAMPLES = 1000
FEWEST = 6  # minimum number of trials in the outer half of a range

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Trend:
    """Trend of values towards one end of a range."""

    correlation: float  # Spearman's, of place and value, given time
    p: float  # one-sided
    p_outer: float  # one-sided, in the half next to the end

    @property
    def weakness(self) -> float:
        """The larger of the two p-values, since both must be significant."""
        return max(self.p, self.p_outer)


def find_trend(places: Array, values: Array) -> Trend | None:
    """Test the trend of values with places; None if there are too few places in all or in the outer half.

    A search that learns moves towards good values, so places and values both depend on time. Hence the correlation is
    partial, given time.

    Args:
        places: (N,) positions of the trials in the range, from 0 to 1, in order of time.
        values: (N,) values of the trials, higher is better.
    """
    outer = places >= 0.5
    if min(len(set(places)), len(set(places[outer]))) < 2 or outer.sum() < FEWEST:
        return None
    correlation, p = _partial(places, values)
    return Trend(correlation, p, _partial(places[outer], values[outer])[1])


def test_improvement(values: Array) -> float:
    """Return the one-sided p-value of Spearman's rank correlation of values with time."""
    return float(stats.spearmanr(np.arange(len(values)), values, alternative="greater").pvalue)


def _partial(places: Array, values: Array) -> tuple[float, float]:
    """Return Spearman's partial rank correlation given the order in time, and its one-sided p-value."""
    ranks = stats.rankdata([places, values, np.arange(len(places))], axis=1)
    ranks -= ranks.mean(axis=1, keepdims=True)
    time = ranks[2]
    rest = ranks[:2] - np.outer(ranks[:2] @ time / (time @ time), time)
    correlation = float(rest[0] @ rest[1] / max(np.sqrt((rest[0] @ rest[0]) * (rest[1] @ rest[1])), 1e-9))
    freedom = len(places) - 3
    t = correlation * np.sqrt(freedom / max(1 - correlation**2, 1e-9))
    return correlation, float(stats.t.sf(t, freedom))


def measure_early_share(values: Array) -> tuple[float, float, float]:
    """Estimate the share of late differences that is present early: the slope of true early on true late values.

    Early and late values are means over few episodes. Their noise lowers every correlation (Spearman 1904,
    https://doi.org/10.2307/1412159), but not the covariance with final values, which are measured on other episodes.
    So the slope is a ratio of two such covariances: the ranks of the final values are the instrumental variable of a
    regression with errors in the variables.

    Args:
        values: (N, 3) early, late and final values.

    Returns:
        The share and the bounds of its 90 % bootstrap interval over the rows; 1 (unknown) if late values do not
        increase with the final ones.
    """
    columns = np.column_stack([values[:, :2], stats.rankdata(values[:, 2])])
    rows = np.random.default_rng(0).integers(len(columns), size=(RESAMPLES, len(columns)))
    samples = columns[np.vstack([np.arange(len(columns)), rows])]  # (1 + RESAMPLES, N, 3)
    centred = samples - samples.mean(axis=1, keepdims=True)
    early, late = (centred[:, :, :2] * centred[:, :, 2:]).sum(axis=1).T
    shares = np.divide(early, late, out=np.ones_like(early), where=late > 0)
    low, high = np.quantile(shares[1:], [0.05, 0.95])
    return float(shares[0]), float(low), float(high)
