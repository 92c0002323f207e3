"""Forecast of when a study will be done, based on the durations of its trials so far."""

from datetime import UTC, datetime

from vbot_train.status.observer import Progress, Stage, Training
from vbot_train.study.lives import list_spans
from vbot_train.study.timing import (
    HOUR_S,
    compute_reserve_s,
    estimate_training_s,
    estimate_trial_s,
    forecast_ends_s,
)

ENOUGH = 0.05  # share of its training after which a trial's own pace predicts its end


def forecast_remaining_s(progress: Progress) -> float | None:
    """Forecast the time to the end of all stages [s] with as many parallel trials as now; None while it is unknown.

    A stage starts when the last trial of the previous stage has ended.
    """
    total_s, trial_s = 0.0, None
    for stage in progress.stages:
        own_s = estimate_duration_s(stage)
        trial_s = trial_s if own_s is None else own_s
        if own_s is None and stage is not progress.search:  # its trainings are whole ones, none is paused
            trial_s = (
                estimate_training_s(progress.search.trials, progress.record.settings.training.env_steps) or trial_s
            )
        if stage.alive or _count_waiting(stage):
            if trial_s is None:
                return None
            total_s += max(_forecast_stage_s(stage, trial_s, progress))
    return total_s


def count_fitting_trials(progress: Progress) -> int | None:
    """Forecast how many of the search's trials will end within the budget; None if all, or if unknown.

    As in the search itself, some of the budget is reserved for the later stages.
    """
    left_s, needed_s, search = progress.left_s, forecast_remaining_s(progress), progress.search
    trial_s = estimate_trial_s(search.trials)
    if left_s is None or trial_s is None or needed_s is None or needed_s <= left_s:
        return None
    later = sum(stage.total - stage.ended for stage in progress.stages[1:])
    training_s, budget_s = (
        estimate_training_s(search.trials, progress.record.settings.training.env_steps) or trial_s,
        (progress.record.budget_hours or 0.0) * HOUR_S,
    )
    left_s -= compute_reserve_s(later, training_s, count_active_workers(progress), budget_s)
    return search.ended + sum(end_s <= left_s for end_s in _forecast_stage_s(search, trial_s, progress))


def estimate_duration_s(stage: Stage) -> float | None:
    """Estimate how long a stage's trial takes [s]: from ended trials, or if there are none, from running ones."""
    paces = [estimate_whole_s(training) for training in stage.alive if training.share >= ENOUGH]
    return estimate_trial_s(stage.trials) or (sum(paces) / len(paces) if paces else None)


def estimate_rest_s(training: Training, trial_s: float) -> float:
    """Estimate the remaining time of a running trial [s]: from its own pace if known, else from ``trial_s``."""
    return max((estimate_whole_s(training) if training.share >= ENOUGH else trial_s) - training.age_s, 0.0)


def estimate_whole_s(training: Training) -> float:
    """Estimate the total duration of a running trial from its own pace [s]."""
    return training.age_s / training.share


def count_active_workers(progress: Progress) -> int:
    """Count the parallel trials when the newest one started; one of the workers may be between two trials now."""
    for_good = datetime.max.replace(tzinfo=UTC)
    spans = [
        span
        for stage in progress.stages
        for trial in stage.trials
        if trial.number not in stage.silent
        for span in list_spans(trial, for_good)
    ]
    last = max((start for start, _ in spans), default=progress.now)
    return max(sum(start <= last < end for start, end in spans), 1)


def _count_waiting(stage: Stage) -> int:
    """Count the trials that have not started, and the silent ones, which will be resumed or run again."""
    return max(stage.total - stage.counts.started, 0) + len(stage.silent)


def _forecast_stage_s(stage: Stage, trial_s: float, progress: Progress) -> list[float]:
    rest_s = [estimate_rest_s(training, trial_s) for training in stage.alive]
    return forecast_ends_s(rest_s, _count_waiting(stage), trial_s, count_active_workers(progress))
