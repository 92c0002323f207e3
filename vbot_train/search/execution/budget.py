"""The wall clock of a study, over all resumes and loops: what is spent, and what will fit."""

import math
import statistics
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from optuna.trial import FrozenTrial

from vbot_train.study.accounting import STATUS
from vbot_train.study.lives import runtime_s, spans_of

HOUR_S = 3600.0
MOST_KEPT = 0.5  # share of a budget that is kept for what comes after the search


def spent_s(trials: Sequence[FrozenTrial], now: datetime) -> float:
    """Seconds during which at least one trial ran. A host that sleeps meanwhile spends them too.

    Args:
        trials: Of the study; one that runs has run until ``now``.
        now: With its time zone.
    """
    spans = sorted(span for trial in trials for span in spans_of(trial, now))
    spent, reached = timedelta(), datetime.min.replace(tzinfo=UTC)
    for start, end in spans:
        spent += max(end - max(start, reached), timedelta())
        reached = max(reached, end)
    return spent.total_seconds()


def expected_s(trials: Sequence[FrozenTrial]) -> float | None:
    """How long a trial takes: the median of the completed ones [s], None before the first.

    A result that was taken over from a forked study took no time, and says nothing about the next one.
    """
    times = [runtime_s(trial) for trial in trials if trial.user_attrs.get(STATUS) == "completed"]
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
