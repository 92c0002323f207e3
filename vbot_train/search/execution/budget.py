"""The wall-clock budget of a study, over all resumes and workers."""

from collections.abc import Sequence
from datetime import UTC, datetime

from optuna.trial import FrozenTrial, TrialState

from vbot_train.study.accounting import TrialCounts
from vbot_train.study.lives import compute_runtime_s
from vbot_train.study.plan import Plan
from vbot_train.study.timing import (
    HOUR_S,
    compute_reserve_s,
    compute_spent_s,
    estimate_training_s,
    estimate_trial_s,
    forecast_ends_s,
)


class Budget:
    """The wall-clock budget as one worker sees it.

    Args:
        hours: Wall clock of the study [h], None without a limit.
        workers: Trials that this worker trains at a time.
        stages: What is trained after the search; time is reserved for that.
        elsewhere: Trials of the other stages, which spent of the same budget.
        training_s: How long one training takes [s], if the other stages know.
        env_steps: Length of one training.
    """

    def __init__(
        self,
        hours: float | None,
        *,
        workers: int,
        stages: Plan,
        elsewhere: Sequence[FrozenTrial],
        training_s: float | None,
        env_steps: int,
    ) -> None:
        self._budget_s = None if hours is None else hours * HOUR_S
        self._workers = workers
        self._stages = stages
        self._elsewhere = elsewhere
        self._training_s = training_s
        self._env_steps = env_steps

    def compute_left_s(self, counts: TrialCounts) -> float | None:
        """Return the time left [s], None without a limit."""
        if self._budget_s is None:
            return None
        return self._budget_s - compute_spent_s([*self._elsewhere, *counts.trials], datetime.now(UTC))

    def has_time(
        self, counts: TrialCounts, share: float, training_s: float | None = None, *, uses_reserve: bool = False
    ) -> bool:
        """Check whether a trial can finish in the time left.

        Args:
            counts: The study's trials.
            share: Share of its training that the trial has still to do, in (0, 1].
            training_s: Duration of a whole training at the trial's own pace [s]; None: as the study's others.
            uses_reserve: Whether it may use up what is reserved for confirming and testing.
        """
        left_s = self.compute_left_s(counts) if uses_reserve else self._compute_left_for_search_s(counts)
        training_s = self._estimate_training_s(counts) if training_s is None else training_s
        return left_s is None or left_s > training_s * share

    def forecast(self, counts: TrialCounts, total: int) -> int | None:
        """Forecast how many of the study's ``total`` trials will have ended when the budget is spent; None: unknown."""
        trial_s, left_s = estimate_trial_s(counts.trials), self._compute_left_for_search_s(counts)
        if left_s is None or trial_s is None:
            return None
        now = datetime.now(UTC)
        running = [trial for trial in counts.counted if trial.state == TrialState.RUNNING]
        rest_s = [max(trial_s - compute_runtime_s(trial, now), 0.0) for trial in running]
        ends_s = forecast_ends_s(rest_s, total - counts.started, trial_s, max(self._workers, len(running)))
        return counts.started - len(running) + sum(end_s <= left_s for end_s in ends_s)

    def _compute_left_for_search_s(self, counts: TrialCounts) -> float | None:
        """Return the time left without what is reserved for confirming and testing [s], None without a limit."""
        left_s = self.compute_left_s(counts)
        if left_s is None or self._budget_s is None:
            return None
        later = max(self._stages.trainings - sum(trial.state.is_finished() for trial in self._elsewhere), 0)
        return left_s - compute_reserve_s(later, self._estimate_training_s(counts), self._workers, self._budget_s)

    def _estimate_training_s(self, counts: TrialCounts) -> float:
        """Return the expected duration of a training [s], 0 before it is known."""
        return estimate_training_s(counts.trials, self._env_steps) or self._training_s or 0.0
