"""Durations of trials and forecasts of their ends, for a search's budget and for ``status``."""

import heapq
import statistics
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from optuna.trial import FrozenTrial, TrialState

from vbot_train.study.attributes import STATUS
from vbot_train.study.lives import compute_runtime_s, list_spans, read_lives

HOUR_S = 3600.0
MOST_RESERVED = 0.5  # share of a budget that is reserved for confirming and testing, at most
OWN_ENDS = ("completed", "paused", "pruned", "diverged", "timeout")  # ends that a trial reaches by itself


def compute_spent_s(trials: Sequence[FrozenTrial], now: datetime) -> float:
    """Compute the time during which at least one trial ran [s]. Time in which the host is suspended counts too.

    Args:
        trials: Trials of the study; running ones count until ``now``.
        now: Current time, with time zone.
    """
    spans = sorted(span for trial in trials for span in list_spans(trial, now))
    spent, reached = timedelta(), datetime.min.replace(tzinfo=UTC)
    for start, end in spans:
        spent += max(end - max(start, reached), timedelta())
        reached = max(reached, end)
    return spent.total_seconds()


def estimate_training_s(trials: Sequence[FrozenTrial], env_steps: int | None = None) -> float | None:
    """Estimate how long a whole training takes [s], None before the first trial has ended or paused.

    It is the median of the completed trials, or follows from the speed of the paused ones.

    Args:
        trials: The study's trials.
        env_steps: Length of a training; None: unknown.
    """
    if times := _list_runtimes_s(trials, ["completed"]):
        return statistics.median(times)
    paused = [trial for trial in trials if trial.user_attrs.get(STATUS) == "paused"]
    trained = sum(life.env_steps for trial in paused for life in read_lives(trial))
    return sum(map(compute_runtime_s, paused)) * env_steps / trained if trained and env_steps else None


def estimate_trial_s(trials: Sequence[FrozenTrial]) -> float | None:
    """Estimate how long a trial takes, paused ones included: the mean [s], None before the first has ended."""
    times = _list_runtimes_s(trials, OWN_ENDS)
    return statistics.mean(times) if times else None


def forecast_ends_s(rest_s: Sequence[float], waiting: int, trial_s: float, workers: int) -> list[float]:
    """Forecast when each trial ends [s from now], if each worker takes the next trial as soon as it is free.

    Args:
        rest_s: Remaining time of each running trial [s].
        waiting: Number of trials that have not started.
        trial_s: Expected duration of a trial [s].
        workers: Number of trials running in parallel.
    """
    free_s = [*rest_s, *[0.0] * (workers - len(rest_s))]
    heapq.heapify(free_s)
    ends = list(rest_s)
    for _ in range(waiting):
        ends.append(free_s[0] + trial_s)
        heapq.heapreplace(free_s, ends[-1])
    return ends


def compute_reserve_s(trainings: int, training_s: float, workers: int, budget_s: float) -> float:
    """Compute the part of a budget that is reserved for confirming and testing [s].

    Args:
        trainings: Number of trainings of the later stages that have not been done.
        training_s: Expected duration of one training [s].
        workers: Number of trainings running in parallel.
        budget_s: The whole budget [s].
    """
    needed_s = max(forecast_ends_s([], trainings, training_s, workers), default=0.0)
    return min(needed_s, MOST_RESERVED * budget_s)


def _list_runtimes_s(trials: Sequence[FrozenTrial], statuses: Sequence[str]) -> list[float]:
    """List the runtimes of trials with these statuses [s], without trials whose result was reused (0 s)."""
    ended = [trial for trial in trials if trial.state != TrialState.RUNNING]
    times = [compute_runtime_s(trial) for trial in ended if trial.user_attrs.get(STATUS) in statuses]
    return [time for time in times if time > 0]
