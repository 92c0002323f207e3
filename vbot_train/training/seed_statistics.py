"""Statistics over training seeds (interquartile means, bootstrap intervals, probability of improvement) and episodes.

After Agarwal et al. 2021 (https://arxiv.org/abs/2108.13264), who recommend all three for the few runs of deep
reinforcement learning.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

RESAMPLES = 10_000
FEW = 4  # runs; the text of ``caution_few_seeds`` says why


def bootstrap_interval(values: Sequence[float], share: float = 0.95, *, seed: int = 0) -> tuple[float, float] | None:
    """Percentile bootstrap interval of the interquartile mean; None of fewer than two values.

    Args:
        values: One number per training seed.
        share: Of the resamples that lie within.
        seed: Of the resampling.
    """
    if len(values) < 2:
        return None
    means = compute_iqms(draw_resamples(values, seed))
    low, high = np.quantile(means, [(1 - share) / 2, (1 + share) / 2])
    return round(float(low), 6), round(float(high), 6)


def bootstrap_difference_interval(
    ours: Sequence[float], theirs: Sequence[float], share: float = 0.95, *, seed: int = 0
) -> tuple[float, float] | None:
    """The same of the difference ``ours - theirs`` of two interquartile means."""
    if min(len(ours), len(theirs)) < 2:
        return None
    differences = compute_iqms(draw_resamples(ours, seed)) - compute_iqms(draw_resamples(theirs, seed + 1))
    low, high = np.quantile(differences, [(1 - share) / 2, (1 + share) / 2])
    return round(float(low), 6), round(float(high), 6)


def caution_few_seeds(runs: int) -> str | None:
    """What an interval over so few runs is worth, for people; None where it is worth what it says.

    Of up to four runs the bootstrap interval goes from the smallest to the largest, and all of n runs lie on one side
    of the true middle in 2 of 2^n cases.
    """
    if not 2 <= runs <= FEW:
        return None
    return f"of so few from the lowest to the highest, which holds the truth in {1 - 2 ** (1 - runs):.0%} of cases"


def estimate_probability_of_improvement(ours: Sequence[float], theirs: Sequence[float], *, maximize: bool) -> float:
    """Share of pairs of runs in which ours is the better one; a tie counts half.

    A run without a value may be given as the worst there is, an infinity: then it loses against every other one.
    """
    better = (np.greater if maximize else np.less).outer(ours, theirs)
    return float((better + 0.5 * np.equal.outer(ours, theirs)).mean())


def draw_resamples(values: Sequence[float], seed: int) -> NDArray[np.float64]:
    """Draws with replacement, one a row (RESAMPLES, N)."""
    generator = np.random.default_rng(seed)
    return np.asarray(values, dtype=float)[generator.integers(len(values), size=(RESAMPLES, len(values)))]


def compute_iqms(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Interquartile mean of each row (R, N), as ``result.iqm`` takes it. Returns (R,)."""
    cut = rows.shape[1] // 4
    means: NDArray[np.float64] = np.sort(rows, axis=1)[:, cut : rows.shape[1] - cut].mean(axis=1)
    return means


def compute_wilson_interval(successes: int, episodes: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share of episodes."""
    found = binomtest(successes, episodes).proportion_ci(0.95, method="wilson")
    return round(float(found.low), 6), round(float(found.high), 6)
