"""Studies of planted truth: trials whose parameters matter by known amounts."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

from vbot_train.study.trials import Trial
from vbot_train.training.result import TrialResult

METRIC = "episode_reward_mean"


@dataclass(frozen=True)
class Planted:
    """A parameter and its effect on the metric."""

    distribution: BaseDistribution
    shape: Callable[[np.ndarray], np.ndarray]  # of the position in the range (of a log range: in the log), 0 to 1
    weight: float  # standard deviation of its effect


def peak(at):
    return -((at - 0.5) ** 2)


def slope(at):
    return at


RATE = FloatDistribution(1e-5, 1e-2, log=True)
ENTROPY = FloatDistribution(1e-4, 1e-1, log=True)
CLIP = CategoricalDistribution([0.1, 0.15, 0.2, 0.3])
LAMBDA = CategoricalDistribution([0.9, 0.95, 0.97, 0.99])
ROLLOUTS = CategoricalDistribution([16, 24, 32, 48, 64])
EPOCHS = CategoricalDistribution([2, 4, 5, 6, 8, 10])
BATCHES = CategoricalDistribution([8, 16, 32, 64, 128])
DISCOUNT = CategoricalDistribution([0.95, 0.97, 0.99, 0.995, 0.999])
NETWORK = CategoricalDistribution(["small", "medium", "large", "deep"])

TOP_TWO = {"ppo.learning_rate", "ppo.rollouts"}
WITHOUT_EFFECT = {"ppo.gae_lambda", "network"}
SIX = {
    "ppo.learning_rate": Planted(RATE, peak, 1.0),
    "ppo.rollouts": Planted(ROLLOUTS, slope, 1.0),
    "ppo.entropy_loss_scale": Planted(ENTROPY, slope, 0.2),
    "ppo.ratio_clip": Planted(CLIP, peak, 0.2),
    "ppo.gae_lambda": Planted(LAMBDA, slope, 0.0),
    "network": Planted(NETWORK, slope, 0.0),
}
THREE = {
    "ppo.learning_rate": Planted(RATE, peak, 0.5),
    "ppo.rollouts": Planted(ROLLOUTS, slope, 1.0),
    "ppo.entropy_loss_scale": Planted(ENTROPY, slope, 0.3),
}
NINE = {
    "ppo.learning_rate": Planted(RATE, peak, 1.0),
    "ppo.rollouts": Planted(ROLLOUTS, slope, 0.6),
    "ppo.entropy_loss_scale": Planted(ENTROPY, slope, 0.3),
    "ppo.ratio_clip": Planted(CLIP, peak, 0.3),
    "ppo.learning_epochs": Planted(EPOCHS, peak, 0.2),
    "ppo.mini_batches": Planted(BATCHES, slope, 0.2),
    "ppo.discount_factor": Planted(DISCOUNT, slope, 0.0),
    "ppo.gae_lambda": Planted(LAMBDA, slope, 0.0),
    "network": Planted(NETWORK, slope, 0.0),
}


def plant(space: Mapping[str, Planted], trials: int, seed: int, noise: float = 0.5) -> list[Trial]:
    """Completed trials of random search.

    Args:
        space: The parameters.
        trials: How many.
        seed: Of the draw.
        noise: Standard deviation of the noise, in that of the true values; of 1 where nothing has an effect.
    """
    generator = np.random.default_rng(seed)
    spread = np.sqrt(sum(parameter.weight**2 for parameter in space.values())) or 1.0
    rewards = generator.normal(0.0, noise * spread, size=trials)
    columns = {}
    for name, parameter in space.items():
        positions = generator.random(trials)
        columns[name], positions = _values(parameter.distribution, positions)
        rewards += parameter.weight * _standardized(parameter, positions)
    distributions = {name: parameter.distribution for name, parameter in space.items()}
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return [trial(number, row, distributions, float(rewards[number])) for number, row in enumerate(rows)]


def trial(number, params, distributions, reward, status="completed", seed=42):
    """One trial, as an analysis reads it."""
    result = TrialResult(status=status, trial=number, seed=seed, seeds=[seed], metrics={METRIC: reward})
    return Trial(number, params, distributions, result, Path(), {})


def _values(distribution, positions):
    """Values at the positions, and the positions that they really have."""
    if isinstance(distribution, CategoricalDistribution):
        count = len(distribution.choices)
        index = np.minimum((positions * count).astype(int), count - 1)
        return [distribution.choices[k] for k in index], index / (count - 1)
    return (distribution.low * (distribution.high / distribution.low) ** positions).tolist(), positions


def _standardized(parameter, positions):
    """Effect of mean 0 and standard deviation 1 over the range."""
    count = len(parameter.distribution.choices) if isinstance(parameter.distribution, CategoricalDistribution) else 1001
    everywhere = parameter.shape(np.linspace(0, 1, count))
    return (parameter.shape(positions) - everywhere.mean()) / everywhere.std()
