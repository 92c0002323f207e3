"""PED-ANOVA, vectorized over many resamples of the same trials.

PED-ANOVA (Watanabe et al. 2023, https://arxiv.org/abs/2304.10255) measures for each parameter the divergence between
its distribution among the best trials and among all trials. Both enter only as counts on a grid, so a resample is a
row of weights and all resamples take one matrix product; ``optuna.importance.PedAnovaImportanceEvaluator`` copies all
trials for each resample. The results are the same up to a common factor, also for conditional parameters
(https://arxiv.org/abs/2601.20800).

Shapes: B resamples, N trials, P parameters, G grid cells.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from scipy.special import ndtr

from vbot_train.study.trials import Trial

Array = NDArray[np.float64]

GRID = 50  # cells of a continuous range, as in Optuna
NARROWEST = 0.5 / 1.64  # [cells] minimum bandwidth: 90 % of a kernel lies within its own cell
FEWEST = 2  # minimum number of trials of a regime


@dataclass(frozen=True, slots=True)
class PedAnova:
    """Importance of each parameter for being among the best trials.

    Args:
        trials: N trials.
        names: P parameters.
        quantile: Share of the trials that count as the best.
    """

    trials: Sequence[Trial]
    names: Sequence[str]
    quantile: float

    def __call__(self, losses: Array, weights: Array) -> Array:
        """Estimate the importances of B resamples.

        Args:
            losses: (B, N) loss of each trial, lower is better.
            weights: (B, N) number of copies of each trial in a resample.

        Returns:
            (B, P) Pearson divergences, non-negative; zero if the best trials are distributed like all trials.
        """
        best = best_of(losses, weights, self.quantile)
        columns = [_compute_divergence(find_regimes(self.trials, name), best, weights) for name in self.names]
        return np.stack(columns, axis=1)


def best_of(losses: Array, weights: Array, quantile: float) -> Array:
    """Return the weights (B, N) of the best trials of each resample, zero for all other trials.

    Ties with the last of the best are included, except with the worst value of all: if most trials share it (such as a
    success rate of 0), only the trials above it count as the best.
    """
    order = np.argsort(losses, axis=1, kind="stable")
    counted = np.cumsum(np.take_along_axis(weights, order, axis=1), axis=1)
    place = np.argmax(counted >= np.ceil(quantile * counted[:, -1:]), axis=1, keepdims=True)
    last = np.take_along_axis(losses, np.take_along_axis(order, place, axis=1), axis=1)
    worst = np.max(losses, axis=1, keepdims=True, where=weights > 0, initial=-np.inf)
    return weights * np.where(last < worst, losses <= last, losses < last)


@dataclass(frozen=True, slots=True)
class Regime:
    """Trials with the same distribution of a parameter; a conditional one may have several, or none in some trials."""

    one_hot: Array  # (N, G), a row of zeros if the trial belongs to another regime
    categorical: bool


def find_regimes(trials: Sequence[Trial], name: str) -> list[Regime]:
    """Assign the trials to the grid cells of a parameter, with one grid for each of its distributions."""
    members: dict[BaseDistribution, list[int]] = defaultdict(list)
    for index, trial in enumerate(trials):
        if name in trial.distributions:
            members[trial.distributions[name]].append(index)
    found = []
    for distribution, rows in members.items():
        if not distribution.single():
            cells, size = _find_cells(distribution, [trials[row].params[name] for row in rows])
            one_hot = np.zeros((len(trials), size))
            one_hot[rows, cells] = 1.0
            found.append(Regime(one_hot, isinstance(distribution, CategoricalDistribution)))
    return found


def _compute_divergence(parameter: Sequence[Regime], best: Array, weights: Array) -> Array:
    """Compute the Pearson divergence (B,) of a parameter's distribution among the best from that among all trials."""
    total = np.zeros(len(best))
    for regime in parameter:
        near, everywhere = best @ regime.one_hot, weights @ regime.one_hot  # (B, G) counts
        n_near, n_everywhere = near.sum(axis=1), everywhere.sum(axis=1)
        on = (n_near > 0) & (n_everywhere >= FEWEST)
        p = _estimate_density(near[on], regime.categorical) + 1e-12
        q = _estimate_density(everywhere[on], regime.categorical) + 1e-12
        share_near = n_near[on] / best[on].sum(axis=1)
        share_everywhere = n_everywhere[on] / weights[on].sum(axis=1)
        total[on] += share_near**2 / share_everywhere * (q * (p / q - 1) ** 2).sum(axis=1)
    return total


def _find_cells(distribution: BaseDistribution, values: Sequence[Any]) -> tuple[NDArray[np.int64], int]:
    """Return the cell of each value and the number of cells."""
    if isinstance(distribution, CategoricalDistribution):
        return np.array([int(distribution.to_internal_repr(v)) for v in values]), len(distribution.choices)
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    low, high, size = float(distribution.low), float(distribution.high), GRID
    if isinstance(distribution, IntDistribution) and distribution.log:
        size = min(math.ceil(math.log2(high - low + 1)) + 1, GRID)
    elif distribution.step is not None:
        size = min(round((high - low) / distribution.step) + 1, GRID)
    at = np.asarray(values, dtype=np.float64)
    if distribution.log:
        low, high, at = math.log(low), math.log(high), np.log(at)
    cells = np.ceil((at - low) / ((high - low) / (size - 1)) - 0.5).astype(np.int64)  # ties go to the lower cell
    return np.clip(cells, 0, size - 1), size


def _estimate_density(counts: Array, categorical: bool) -> Array:
    """Estimate the kernel density on the grid, (B, G) to (B, G); a broad prior kernel counts as one more trial."""
    size, n = counts.shape[1], counts.sum(axis=1, keepdims=True)
    if categorical:
        smoothing = 1 / (np.count_nonzero(counts, axis=1, keepdims=True) + 1)
        kernels = (counts + n * smoothing) / (1 + size * smoothing)
        return (kernels + 1 / size) / (n + 1)
    kernels = np.einsum("bm,bmx->bx", counts, _build_kernels(_choose_bandwidth(counts), np.arange(float(size)), size))
    point = _build_kernels(np.array([float(size)]), np.array([(size - 1) / 2]), size)[0]
    return (kernels + point) / (n + 1)


def _choose_bandwidth(counts: Array) -> Array:
    """Compute the bandwidths [cells] by Scott's rule from counts, (B, G) to (B,), rounded as in Optuna."""
    at = np.arange(counts.shape[1])
    n = counts.sum(axis=1)
    mean = counts @ at / n
    deviation = np.sqrt((counts * (at - mean[:, None]) ** 2).sum(axis=1) / np.maximum(1, n - 1))
    cumulated = np.cumsum(counts, axis=1)
    lower = np.argmax(cumulated >= np.maximum(1, n // 4)[:, None], axis=1)
    upper = np.argmax(cumulated > (n * 3 // 4)[:, None], axis=1)
    scott = 1.059 * np.minimum((upper - lower) / 1.34, deviation) * n**-0.2
    return np.maximum(scott, NARROWEST)


def _build_kernels(bandwidth: Array, centers: Array, size: int) -> Array:
    """Build truncated normal kernels (B, M, G) on the cells 0 .. size - 1 for B bandwidths and M centers."""
    edges = np.arange(size + 1) - 0.5
    distances, where = np.unique(edges - centers[:, None], return_inverse=True)  # 100 distinct values, not 50 * 51
    below = ndtr(distances / bandwidth[:, None])[:, where]
    mass = np.diff(below, axis=2)
    return np.asarray(mass / mass.sum(axis=2, keepdims=True))
