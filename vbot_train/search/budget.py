"""The wall clock of a study, over all resumes and loops: what is spent, and what will fit."""

import math
import statistics
from collections.abc import Sequence
from datetime import datetime, timedelta

from optuna.trial import FrozenTrial

from vbot_train.search.ledger import STATUS, WALL_TIME_S

HOUR_S = 3600.0
MOST_KEPT = 0.5  # share of a budget that is kept for what comes after the search


def spent_s(trials: Sequence[FrozenTrial], now: datetime) -> float:
    """Seconds during which at least one trial ran.

    Args:
        trials: Of the study; one that runs has run until ``now``.
        now: Local time, as Optuna stamps trials.
    """
    spans = sorted(_span(trial, now) for trial in trials if trial.datetime_start is not None)
    spent, reached = timedelta(), datetime.min
    for start, end in spans:
        spent += max(end - max(start, reached), timedelta())
        reached = max(reached, end)
    return spent.total_seconds()


def _span(trial: FrozenTrial, now: datetime) -> tuple[datetime, datetime]:
    assert trial.datetime_start is not None
    if not trial.state.is_finished():
        return trial.datetime_start, now
    return trial.datetime_start, trial.datetime_start + timedelta(seconds=trial.user_attrs.get(WALL_TIME_S, 0.0))


def expected_s(trials: Sequence[FrozenTrial]) -> float | None:
    """How long a trial takes: the median of the completed ones [s], None before the first.

    A result that was taken over from a forked study took no time, and says nothing about the next one.
    """
    times = [trial.user_attrs[WALL_TIME_S] for trial in trials if trial.user_attrs.get(STATUS) == "completed"]
    trained = [time for time in times if time > 0]
    return statistics.median(trained) if trained else None


def fitting(*, done: int, running: int, left_s: float, trial_s: float, workers: int) -> int:
    """How many trials will have ended when the time is up.

    Args:
        done: Trials that have ended.
        running: Trials that run, on average half done.
        left_s: Time left [s].
        trial_s: How long a trial takes [s].
        workers: Trials at a time.
    """
    later = max(left_s - trial_s / 2 if running else left_s, 0.0)
    return done + (running if left_s >= trial_s / 2 else 0) + workers * int(later / trial_s)


def rounds(trainings: int, workers: int) -> int:
    """How often all workers must train once for so many trainings."""
    return math.ceil(trainings / workers)
