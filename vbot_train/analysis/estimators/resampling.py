"""How far an importance is from chance and how far it can be trusted: shuffled and resampled trials.

A divergence is biased: from few trials even a parameter without any effect gets some, and resamples (which repeat
trials) get still more. So what chance gives, the mean over shuffled losses, is taken off the estimate and off every
resample, and the resamples are centred on the estimate. That is done on the scale of the root, where the spread
depends least on the size. In simulated studies of 64 trials the plain percentile bootstrap never held the truth of
a parameter without effect; these intervals hold it in 19 of 20 (tests/analysis/test_importance.py).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from vbot_train.study.trials import Trial

Array = NDArray[np.float64]

LEVEL = 0.05  # of the test against chance
ROUNDING = 1e-9  # no difference: a shuffle may be the study itself again
QUANTILES = (0.05, 0.95)  # of a 90 % interval


class Estimator(Protocol):
    """Importance of P parameters in resamples of N trials."""

    @property
    def is_additive(self) -> bool:
        """Whether chance adds to an importance, whatever the other parameters do."""

    def __call__(self, losses: Array, weights: Array) -> Array:
        """Losses and weights of each trial, both (B, N), to importances (B, P), none of them negative."""


@dataclass(frozen=True, slots=True)
class Resampled:
    """Importances of P parameters, before they are made to sum to 1."""

    estimate: Array  # (P,)
    by_chance: Array  # (S, P) with losses shuffled over the trials
    resampled: Array  # (B, P) trials drawn with replacement
    bias: Array  # (P,) what chance adds to each

    @property
    def stands_out(self) -> bool:
        """Whether any parameter is more important than shuffled losses make the luckiest one, at 5 %."""
        pool = np.vstack([self.estimate, self.by_chance])  # under pure chance, any row is as good as the first
        spread = pool.std(axis=0)
        luckiest = ((pool - pool.mean(axis=0)) / np.where(spread > ROUNDING, spread, np.inf)).max(axis=1)
        return bool(np.mean(luckiest >= luckiest[0] - ROUNDING) <= LEVEL)

    @property
    def shares(self) -> Array:
        """(P,) the importances, without their bias, as shares of their sum."""
        return _compute_shares(self.estimate - self.bias)

    @property
    def interval_90(self) -> Array:
        """(2, P) bounds of the shares."""
        bounds = np.quantile(_compute_parts(self._centred()), QUANTILES, axis=0)
        return np.array([np.minimum(bounds[0], self.shares), np.maximum(bounds[1], self.shares)])

    @property
    def rank_90(self) -> NDArray[np.int64]:
        """(2, P) bounds of the ranks; 1 is the most important."""
        places = np.argsort(np.argsort(-self._centred(), axis=1), axis=1) + 1
        return np.quantile(places, QUANTILES, axis=0, method="inverted_cdf").astype(np.int64)

    def _centred(self) -> Array:
        root = np.sqrt(self.resampled)
        shifted = np.maximum(np.sqrt(self.estimate) + root - root.mean(axis=0), 0.0)
        return np.asarray(shifted**2 - self.bias)


def resample(
    estimator: Estimator, losses: Array, units: NDArray[np.int64], counts: tuple[int, int], seed: int
) -> Resampled:
    """Evaluate an estimator on the trials, on shuffled losses and on resamples.

    Args:
        estimator: PED-ANOVA or fANOVA.
        losses: (N,) of each trial, less is better.
        units: (N,) number, from 0, of the unit that each trial belongs to; a unit is shuffled and drawn as a whole.
        counts: How many times to shuffle, and to draw.
        seed: Of both.
    """
    generator = np.random.default_rng(seed)
    shuffles, draws = counts
    total = int(units.max()) + 1
    shuffled = shuffle_units(losses, units, shuffles, generator)
    drawn = generator.multinomial(total, np.full(total, 1 / total), size=draws)[:, units].astype(np.float64)
    by_chance = estimator(shuffled, np.ones(shuffled.shape))
    return Resampled(
        estimate=estimator(losses[None], np.ones((1, len(losses))))[0],
        by_chance=by_chance,
        resampled=estimator(np.repeat(losses[None], draws, axis=0), drawn),
        bias=by_chance.mean(axis=0) if estimator.is_additive else np.zeros(by_chance.shape[1]),
    )


def shuffle_units(
    values: Array, units: NDArray[np.int64], shuffles: int, generator: np.random.Generator
) -> NDArray[np.float64]:
    """Shuffle values over trials, each unit's as a whole, among the units of the same size: (N,) to (shuffles, N).

    The replicates of a configuration share whatever is peculiar to it, so single values are not exchangeable, and
    neither are units of different sizes. Where parameters have no effect, the values of units of one size are: under
    that null hypothesis every shuffle is as likely as the study itself, and a test against them is exact, whatever
    made some configurations be trained more often than others. A unit whose size no other has keeps its values:
    there is nothing to hold it against.

    Args:
        values: Of each trial.
        units: Number, from 0, of the unit that each trial belongs to.
        shuffles: How many.
        generator: Of the order.
    """
    shuffled = np.repeat(values[None], shuffles, axis=0)
    sizes = np.bincount(units)[units]
    for size in np.unique(sizes):
        members = np.flatnonzero(sizes == size)
        rows = members[np.argsort(units[members], kind="stable")].reshape(-1, size)  # trials of each unit
        order = np.argsort(generator.random((shuffles, len(rows))), axis=1)
        shuffled[np.arange(shuffles)[:, None, None], rows[order]] = values[rows]
    return shuffled


def find_units(trials: Sequence[Trial], names: Sequence[str]) -> NDArray[np.int64]:
    """What may be drawn independently: configurations, with all their replicates.

    Where every combination of the values was tried, as in a whole grid, there is no other configuration that might
    have been drawn, only other seeds: then it is the single trials.
    """
    configurations = [tuple(trial.params.get(name) for name in names) for trial in trials]
    numbers = {configuration: number for number, configuration in enumerate(dict.fromkeys(configurations))}
    distributions = [{t.distributions[name] for t in trials if name in t.distributions} for name in names]
    if math.prod(max(map(_count_values, found)) for found in distributions) == len(numbers):
        return np.arange(len(trials))
    return np.array([numbers[configuration] for configuration in configurations])


def _count_values(distribution: BaseDistribution) -> float:
    """How many values may be drawn."""
    if isinstance(distribution, CategoricalDistribution):
        return len(distribution.choices)
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    if distribution.step is None:
        return math.inf
    return round((distribution.high - distribution.low) / distribution.step) + 1


def _compute_parts(importances: Array) -> Array:
    """Parts of the sum over the last axis, cut to 0 and 1.

    What lies below zero stays in the sum: without it the parameters without effect would take from the others, and
    the intervals of a dominant one would hold the truth in 7 of 10 studies.
    """
    total = importances.sum(axis=-1, keepdims=True)
    parts = np.clip(importances / np.where(total > 0, total, 1.0), 0.0, 1.0)
    return np.where(total > 0, parts, _compute_shares(importances))


def _compute_shares(importances: Array) -> Array:
    """Shares of the sum over the last axis, nothing below zero; equal ones where nothing is above it."""
    positive = np.maximum(importances, 0.0)
    total = positive.sum(axis=-1, keepdims=True)
    return np.where(total > 0, positive / np.where(total > 0, total, 1.0), 1 / importances.shape[-1])
