"""Statistics over training seeds (interquartile means, bootstrap intervals, probability of improvement) and episodes.

Agarwal et al. 2021 (https://arxiv.org/abs/2108.13264) recommend these three for deep reinforcement learning, where runs
are few.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

RESAMPLES = 10_000
FEW = 4  # runs; see ``caution_few_seeds``


def bootstrap_interval(values: Sequence[float], share: float = 0.95, *, seed: int = 0) -> tuple[float, float] | None:
    """Compute the percentile bootstrap interval of the interquartile mean; None for fewer than two values.

    Args:
        values: One value per training seed.
        share: Confidence level of the interval.
        seed: Seed of the resampling.
    """
    if len(values) < 2:
        return None
    means = compute_iqms(draw_resamples(values, seed))
    low, high = np.quantile(means, [(1 - share) / 2, (1 + share) / 2])
    return round(float(low), 6), round(float(high), 6)


def bootstrap_difference_interval(
    ours: Sequence[float], theirs: Sequence[float], share: float = 0.95, *, seed: int = 0
) -> tuple[float, float] | None:
    """Compute the bootstrap interval of the difference ``ours - theirs`` of two interquartile means."""
    if min(len(ours), len(theirs)) < 2:
        return None
    differences = compute_iqms(draw_resamples(ours, seed)) - compute_iqms(draw_resamples(theirs, seed + 1))
    low, high = np.quantile(differences, [(1 - share) / 2, (1 + share) / 2])
    return round(float(low), 6), round(float(high), 6)


def name_mean(runs: int) -> str:
    """Return the name of the mean over so many runs: the interquartile mean drops values from four runs on."""
    return "mean" if runs < 4 else "interquartile mean"


def caution_few_seeds(runs: int) -> str | None:
    """Return a warning about an interval over too few runs; None if there are enough runs.

    With up to four runs the bootstrap interval spans the smallest to the largest value, and all n runs lie on the same
    side of the true median in 2 of 2^n cases.
    """
    if not 2 <= runs <= FEW:
        return None
    return f"of {runs} values it is their range, which contains the true median in {1 - 2 ** (1 - runs):.0%} of cases"


def estimate_probability_of_improvement(ours: Sequence[float], theirs: Sequence[float], *, maximize: bool) -> float:
    """Estimate the probability of improvement: the share of pairs of runs in which ours is better; a tie counts half.

    A run without a value may be passed as the worst infinity; it then loses against every other run.
    """
    better = (np.greater if maximize else np.less).outer(ours, theirs)
    return float((better + 0.5 * np.equal.outer(ours, theirs)).mean())


def draw_resamples(values: Sequence[float], seed: int) -> NDArray[np.float64]:
    """Draw bootstrap resamples (with replacement), one per row (RESAMPLES, N)."""
    generator = np.random.default_rng(seed)
    return np.asarray(values, dtype=float)[generator.integers(len(values), size=(RESAMPLES, len(values)))]


def compute_iqms(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute the interquartile mean of each row (R, N), as ``result.compute_iqm`` does. Returns (R,)."""
    cut = rows.shape[1] // 4
    means: NDArray[np.float64] = np.sort(rows, axis=1)[:, cut : rows.shape[1] - cut].mean(axis=1)
    return means


def compute_wilson_interval(successes: int, episodes: int) -> tuple[float, float]:
    """Compute the 95 % Wilson interval of the share ``successes / episodes``."""
    found = binomtest(successes, episodes).proportion_ci(0.95, method="wilson")
    return round(float(found.low), 6), round(float(found.high), 6)
