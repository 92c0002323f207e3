"""When a study will be done, from what its trials have taken so far."""

import heapq
import statistics
from collections.abc import Sequence
from datetime import UTC, datetime

from vbot_train.search.execution.budget import HOUR_S, MOST_KEPT, count_fitting, count_rounds, estimate_trial_s
from vbot_train.status.progress import Progress, Stage, Training
from vbot_train.study.accounting import STATUS
from vbot_train.study.lives import compute_runtime_s, list_spans

ENOUGH = 0.05  # share of its training after which a trial's own pace says when it ends
ENDED_BY_THEMSELVES = ("completed", "pruned", "diverged", "timeout")  # how long these took says something of the next


def forecast_remaining_s(progress: Progress) -> float | None:
    """Seconds to the end of all stages, at as many trials at a time as now; None while no trial says how long it takes.

    The stages follow one another: each begins when the last trial of the one before has ended. A silent trial is
    trained again from its start.
    """
    total_s, workers = 0.0, count_active_workers(progress)
    trial_s: float | None = None
    for stage in progress.stages:
        own_s = estimate_duration_s(stage)
        trial_s = trial_s if own_s is None else own_s
        waiting = max(stage.total - stage.counts.started, 0) + len(stage.silent)
        if waiting or stage.alive:
            if trial_s is None:
                return None
            running_s = [estimate_rest_s(training, trial_s) for training in stage.alive]
            total_s += simulate_makespan_s(running_s, waiting, trial_s, workers)
    return total_s


def count_fitting_trials(progress: Progress) -> int | None:
    """How many of the search's trials will have ended when its budget is spent; None if all will, or that is open.

    As the search itself foresees it: some of the budget is kept for the later stages.
    """
    left_s, trial_s, needed_s = (
        progress.left_s,
        estimate_trial_s(progress.search.trials),
        forecast_remaining_s(progress),
    )
    hours, workers, search = progress.record.budget_hours, count_active_workers(progress), progress.search
    if hours is None or left_s is None or trial_s is None or needed_s is None or needed_s <= left_s:
        return None
    later = sum(stage.total - stage.ended for stage in progress.stages[1:])
    kept_s = count_rounds(later, workers) * trial_s
    left_s -= min(kept_s, MOST_KEPT * hours * HOUR_S)
    running = len(search.alive)
    return min(
        count_fitting(done=search.ended, running=running, left_s=left_s, trial_s=trial_s, workers=workers), search.total
    )


def simulate_makespan_s(running_s: Sequence[float], waiting: int, trial_s: float, workers: int) -> float:
    """Time until the last trial ends, where each worker that becomes free takes the next one [s].

    Args:
        running_s: What each running trial still takes [s].
        waiting: Trials that have not begun.
        trial_s: What each of those takes [s].
        workers: Trials at a time.
    """
    free_s = [*running_s, *[0.0] * (workers - len(running_s))]
    heapq.heapify(free_s)
    for _ in range(waiting):
        heapq.heapreplace(free_s, free_s[0] + trial_s)
    return max(free_s)


def estimate_duration_s(stage: Stage) -> float | None:
    """How long a trial of a stage takes [s]: the mean of those that have ended, or else the pace of the running ones.

    The mean, not the median that ``search.budget`` takes: for the sum of many, those that are pruned count too.
    """
    times = [compute_runtime_s(trial) for trial in stage.trials if trial.user_attrs.get(STATUS) in ENDED_BY_THEMSELVES]
    trained = [time for time in times if time > 0]  # a result that was taken over from another study took none
    paces = trained or [estimate_whole_s(training) for training in stage.alive if training.share >= ENOUGH]
    return statistics.mean(paces) if paces else None


def estimate_rest_s(training: Training, trial_s: float) -> float:
    """What a running trial still takes [s], at its own pace once it has one, else as long as the others."""
    return max((estimate_whole_s(training) if training.share >= ENOUGH else trial_s) - training.age_s, 0.0)


def estimate_whole_s(training: Training) -> float:
    """What a trial takes from its start to its end, at its own pace [s]."""
    return training.age_s / training.share


def count_active_workers(progress: Progress) -> int:
    """Trials at a time: as many as ran when the last one began, for of those that run now one may just have ended."""
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
