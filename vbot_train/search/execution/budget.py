"""The wall-clock budget of a study, over all resumes and workers."""

import math
import statistics
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from optuna.trial import FrozenTrial, TrialState

from vbot_train.search.stages import Plan
from vbot_train.study.accounting import STATUS, TrialCounts
from vbot_train.study.lives import compute_runtime_s, list_spans

HOUR_S = 3600.0
MOST_KEPT = 0.5  # share of a budget that is kept for what comes after the search


class Budget:
    """The wall-clock budget as one worker sees it.

    Args:
        hours: Wall clock of the study [h], None without a limit.
        workers: Trials that this worker trains at a time.
        stages: What is trained after the search; time is kept for that.
        elsewhere: Trials of the other stages, which spent of the same budget.
        training_s: How long one training takes [s], if the other stages know.
    """

    def __init__(
        self,
        hours: float | None,
        *,
        workers: int,
        stages: Plan,
        elsewhere: Sequence[FrozenTrial],
        training_s: float | None,
    ) -> None:
        self._budget_s = None if hours is None else hours * HOUR_S
        self._workers = workers
        self._stages = stages
        self._elsewhere = elsewhere
        self._training_s = training_s

    def left_s(self, counts: TrialCounts) -> float | None:
        """Return the time left [s], None without a limit."""
        if self._budget_s is None:
            return None
        return self._budget_s - compute_spent_s([*self._elsewhere, *counts.trials], datetime.now(UTC))

    def has_time(self, counts: TrialCounts, share: float) -> bool:
        """Check whether a trial can finish in the time left.

        Args:
            counts: The study's trials.
            share: Share of its training that the trial has still to do, in (0, 1].
        """
        left_s = self.left_s(counts)
        return left_s is None or left_s > (self._trial_s(counts) or 0.0) * share + self._kept_s(counts)

    def forecast(self, counts: TrialCounts) -> int | None:
        """Estimate how many of the study's trials will have ended when the budget is spent; None if unknown."""
        trial_s, left_s = self._trial_s(counts), self.left_s(counts)
        if left_s is None or trial_s is None:
            return None
        left_s -= self._kept_s(counts)
        running = sum(trial.state == TrialState.RUNNING for trial in counts.counted)
        done, workers = counts.started - running, max(self._workers, running)
        return count_fitting(done=done, running=running, left_s=left_s, trial_s=trial_s, workers=workers)

    def _trial_s(self, counts: TrialCounts) -> float | None:
        """Return the expected duration of a trial [s], None before it is known."""
        return estimate_trial_s(counts.trials) or self._training_s

    def _kept_s(self, counts: TrialCounts) -> float:
        """Return the time that is reserved for confirming and testing [s]."""
        later = self._stages.trainings - sum(trial.state.is_finished() for trial in self._elsewhere)
        kept_s = count_rounds(max(later, 0), self._workers) * (self._trial_s(counts) or 0.0)
        return min(kept_s, (self._budget_s or 0.0) * MOST_KEPT)


def compute_spent_s(trials: Sequence[FrozenTrial], now: datetime) -> float:
    """Compute the time during which at least one trial ran [s]. Time that the host sleeps counts too.

    Args:
        trials: Of the study; one that runs has run until ``now``.
        now: With its time zone.
    """
    spans = sorted(span for trial in trials for span in list_spans(trial, now))
    spent, reached = timedelta(), datetime.min.replace(tzinfo=UTC)
    for start, end in spans:
        spent += max(end - max(start, reached), timedelta())
        reached = max(reached, end)
    return spent.total_seconds()


def estimate_trial_s(trials: Sequence[FrozenTrial]) -> float | None:
    """Estimate the duration of a trial: the median of the completed ones [s], None before the first.

    A result that was taken over from an earlier study took no time, and says nothing about the next trial.
    """
    times = [compute_runtime_s(trial) for trial in trials if trial.user_attrs.get(STATUS) == "completed"]
    trained = [time for time in times if time > 0]
    return statistics.median(trained) if trained else None


def count_fitting(*, done: int, running: int, left_s: float, trial_s: float, workers: int) -> int:
    """Estimate how many trials will have ended when the budget is spent.

    Args:
        done: Trials that have ended.
        running: Trials that run, on average half done.
        left_s: Time left [s].
        trial_s: How long a trial takes [s].
        workers: Trials at a time.
    """
    later = max(left_s - trial_s / 2 if running else left_s, 0.0)
    return done + (running if left_s >= trial_s / 2 else 0) + workers * int(later / trial_s)


def count_rounds(trainings: int, workers: int) -> int:
    """Return how many trainings one after the other each worker must do."""
    return math.ceil(trainings / workers)
