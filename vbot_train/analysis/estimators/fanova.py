"""fANOVA of resamples with Optuna's evaluator (Hutter et al. 2014, http://proceedings.mlr.press/v32/hutter14.html)."""

import importlib.util
from collections.abc import Sequence

import numpy as np
import optuna
from numpy.typing import NDArray

from vbot_train.extras import format_install
from vbot_train.study.errors import StudyError
from vbot_train.study.trials import Trial

Array = NDArray[np.float64]


class Fanova:
    """Share of the variance that a parameter explains alone, in a random forest fitted to all trials.

    Args:
        trials: N trials.
        names: P parameters, each with the same distribution in all trials.
        seed: Seed of the forest.

    Raises:
        StudyError: scikit-learn is not installed.
    """

    def __init__(self, trials: Sequence[Trial], names: Sequence[str], seed: int) -> None:
        if importlib.util.find_spec("sklearn") is None:
            raise StudyError(f"--importance=fanova: needs the extra `analysis`: {format_install('analysis')}")
        self.trials = trials
        self.names = list(names)
        self.seed = seed

    def __call__(self, losses: Array, weights: Array) -> Array:
        """Estimate the importances of B resamples.

        Args:
            losses: (B, N) loss of each trial.
            weights: (B, N) number of copies of each trial in a resample.

        Returns:
            (B, P) shares of the variance; zero if all losses are equal.
        """
        return np.array([self._evaluate(*row) for row in zip(losses, weights.astype(int), strict=True)])

    def _evaluate(self, losses: Array, weights: NDArray[np.int64]) -> list[float]:
        from optuna.importance import FanovaImportanceEvaluator  # slow: imports scikit-learn (0.5 s)

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
