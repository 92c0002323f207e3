"""Learning curves of runs and best-so-far curves of searches, against env steps."""

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vbot_train.study.trials import Study, Trial
from vbot_train.training.metrics import METRICS

COLUMNS = ("env_steps", "success_rate", "reward")
SHARES = (0.25, 0.5, 0.75, 1.0)  # of the length of the shortest curve, or of the smallest budget
Array = NDArray[np.float64]


class CurveError(ValueError):
    """A learning curve cannot be read; the message names the file."""


@dataclass(frozen=True, slots=True)
class Curve:
    """Running averages over training episodes, one per update (U,); NaN before the end of the first episode."""

    env_steps: Array  # (U,), strictly increasing
    success_rate: Array  # (U,), in [0, 1]
    reward: Array  # (U,), mean per episode

    def at(self, env_steps: Array) -> "Curve":
        """Interpolate the curve linearly at env steps (N,); NaN outside of its range."""
        success_rate, reward = (
            np.interp(env_steps, self.env_steps, values, left=math.nan, right=math.nan)
            for values in (self.success_rate, self.reward)
        )
        return Curve(env_steps, success_rate, reward)


@dataclass(frozen=True, slots=True)
class BestSoFar:
    """Best held-out value of a search after each of the N periods in which a trial ran."""

    env_steps: list[int]  # (N,) cumulative training env steps of all trials so far, whatever their status
    best: list[float | None]  # (N,), None before the first trial with a value

    def at(self, env_steps: float) -> float | None:
        """Return the best value within a budget of env steps; None if there is none."""
        known = [best for spent, best in zip(self.env_steps, self.best, strict=True) if spent <= env_steps]
        return known[-1] if known else None


def read_curve(path: Path) -> Curve | None:
    """Read a run's ``progress.csv``, without an incomplete last row; None if it is missing or has no update.

    Raises:
        CurveError: The file cannot be read or parsed, or its env steps do not increase.
    """
    if not path.exists():
        return None
    try:
        rows = list(csv.DictReader(path.read_text(encoding="utf-8").rpartition("\n")[0].splitlines()))
        env_steps, success_rate, reward = (np.array([float(row[name]) for row in rows]) for name in COLUMNS)
    except (OSError, ValueError, TypeError, KeyError, csv.Error) as error:
        what = f"no column {error}" if isinstance(error, KeyError) else str(error)
        raise CurveError(f"{path} cannot be read: {what}") from error
    if not (np.diff(env_steps, prepend=0) > 0).all():
        raise CurveError(f"{path} cannot be read: its env_steps do not rise")
    return Curve(env_steps, success_rate, reward) if rows else None


def find_common_env_steps(lengths: Sequence[float]) -> list[int]:
    """Return env steps that all curves have reached: ``SHARES`` of the smallest length."""
    return [round(share * min(lengths)) for share in SHARES]


def mean_curve(curves: Sequence[Curve], env_steps: Array) -> Curve:
    """Compute the mean over training seeds at env steps (N,); NaN where one of them has no value."""
    there = [curve.at(env_steps) for curve in curves]
    success_rate, reward = (
        np.mean([getattr(curve, name) for curve in there], axis=0) for name in ("success_rate", "reward")
    )
    return Curve(env_steps, success_rate, reward)


def trace_best_so_far(study: Study, metric: str) -> BestSoFar:
    """Compute the best-so-far curve of a search, in the order in which env steps were spent and values were known.

    Env steps of failed and paused trials count too; those of evaluations do not.
    """
    choose = max if METRICS[metric].is_maximized else min
    periods = [period for trial in (*study.trials, *study.paused) for period in _list_periods(trial, metric)]
    env_steps: list[int] = []
    best: list[float | None] = []
    for _, _, spent, found in sorted(periods, key=lambda period: period[:2]):
        known = [value for value in (*best[-1:], found) if value is not None]
        best.append(choose(known, default=None))
        env_steps.append(sum(env_steps[-1:]) + spent)
    return BestSoFar(env_steps, best)


def _list_periods(trial: Trial, metric: str) -> Iterator[tuple[float, int, int, float | None]]:
    """Yield for each life of a trial: its end [s since 1970], the trial, its env steps, and in the end the value."""
    value, ended_s = trial.result.get_objective(metric), -math.inf if trial.ended is None else trial.ended.timestamp()
    lives = [life for life in trial.lives if life.end is not None]
    if sum(life.env_steps for life in lives) < trial.result.env_steps:  # taken over, or of a version without lives
        yield ended_s, trial.number, trial.result.env_steps, value
        return
    for life in lives:
        assert life.end is not None
        yield life.end.timestamp(), trial.number, life.env_steps, None
    yield ended_s, trial.number, 0, value
