"""fANOVA of resamples, by Optuna's evaluator (Hutter et al. 2014, http://proceedings.mlr.press/v32/hutter14.html)."""

import importlib.util
from collections.abc import Sequence

import numpy as np
import optuna
from numpy.typing import NDArray

from vbot_train.study.errors import StudyError
from vbot_train.study.trials import Trial

Array = NDArray[np.float64]


class Fanova:
    """Share of the variance that a parameter explains by itself, in a random forest over all trials.

    Args:
        trials: N trials.
        names: P parameters, each of one distribution that all trials have.
        seed: Of the forest.

    Raises:
        StudyError: scikit-learn is missing.
    """

    def __init__(self, trials: Sequence[Trial], names: Sequence[str], seed: int) -> None:
        if importlib.util.find_spec("sklearn") is None:
            raise StudyError("fanova: needs scikit-learn (pip install 'vbot-train[analysis]')")
        self.trials = trials
        self.names = list(names)
        self.seed = seed

    @property
    def is_additive(self) -> bool:
        """Shuffled losses leave a forest nothing but noise to explain; true effects leave noise a smaller share."""
        return False

    def __call__(self, losses: Array, weights: Array) -> Array:
        """Evaluate resamples.

        Args:
            losses: (B, N) of each trial.
            weights: (B, N) how often each trial is in a resample.

        Returns:
            (B, P) shares of the variance, zero where all losses are equal.
        """
        return np.array([self._evaluate(*row) for row in zip(losses, weights.astype(int), strict=True)])

    def _evaluate(self, losses: Array, weights: NDArray[np.int64]) -> list[float]:
        from optuna.importance import FanovaImportanceEvaluator  # imports scikit-learn, half a second

        if np.ptp(losses[weights > 0]) == 0:
            return [0.0] * len(self.names)
        study = optuna.create_study()
        for trial, loss, weight in zip(self.trials, losses, weights, strict=True):
            params = {name: trial.params[name] for name in self.names}
            distributions = {name: trial.distributions[name] for name in self.names}
            frozen = optuna.trial.create_trial(params=params, distributions=distributions, value=float(loss))
            study.add_trials([frozen] * int(weight))
        found = FanovaImportanceEvaluator(seed=self.seed).evaluate(study, params=self.names)
        return [found[name] for name in self.names]
