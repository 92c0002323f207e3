"""Reports of one worker to the study: when a trial begins, its intermediate values, how it ends."""

from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, TrialState

from vbot_train.search.execution.fallback import load_result_or_fallback
from vbot_train.search.execution.trial_process import TrialProcess
from vbot_train.search.execution.worker_lock import WorkerLock, parse_host
from vbot_train.search.space.space import Candidate
from vbot_train.study.accounting import TrialCounts
from vbot_train.study.attributes import CAUSE, PROMOTED, STATUS, WORKER
from vbot_train.study.lives import begin_life, end_life, note_start, read_lives
from vbot_train.study.rungs import NO_RUNGS, Rungs, count_passed, is_first_seed
from vbot_train.study.storage import retry_while_locked
from vbot_train.training.metrics import METRICS
from vbot_train.training.result import FILE_NAME, RESUMABLE, TrialResult


@dataclass(frozen=True, slots=True)
class QueuedTrial:
    """A trial that this worker trains."""

    trial: optuna.Trial
    candidate: Candidate
    directory: Path
    history: Path | None  # a finished trial of just this configuration: its result is taken over
    earlier_s: float = 0.0  # how long it ran before it was interrupted [s]


class TrialReporter:
    """Tells the study about the trials of one worker. Every step holds the study's lock.

    Args:
        study: The study.
        worker_lock: The worker's lock.
        metric: What the study optimizes.
        rungs: The rungs at which trials are paused.
        retries: How often a crashed trial is trained again.
    """

    def __init__(
        self, study: optuna.Study, worker_lock: WorkerLock, metric: str, rungs: Rungs = NO_RUNGS, retries: int = 0
    ) -> None:
        self._study = study
        self._worker_lock = worker_lock
        self._metric = metric
        self._rungs = rungs
        self._retries = retries

    def begin(self, trial: optuna.Trial) -> None:
        """Assign a trial to this worker, and record that it starts now."""
        self.own(trial)
        begin_life(trial, parse_host(self._worker_lock.name))

    def own(self, trial: optuna.Trial) -> None:
        """Assign a trial to this worker."""
        trial.set_user_attr(WORKER, self._worker_lock.name)

    @retry_while_locked
    def note_start(self, queued: QueuedTrial, from_env_steps: int) -> None:
        """Record from which state a trial starts."""
        with self._worker_lock.hold():
            note_start(queued.trial, from_env_steps)

    @retry_while_locked
    def report(self, queued: QueuedTrial, step: int, value: float | None) -> bool:
        """Report an intermediate held-out value. Returns whether the trial has to wait at a rung.

        Args:
            queued: The trial.
            step: Held-out evaluations so far.
            value: Of the metric; None if nothing was observed, which counts as the worst at a rung.
        """
        rung = self._rungs.find_rung(step)
        if value is None and rung is not None:
            value = METRICS[self._metric].worst
        if value is None:
            return False
        with self._worker_lock.hold():
            if step not in self._read(queued.trial).intermediate_values:  # else reported before an interruption
                queued.trial.report(value, step)
            return rung is not None and not self._may_pass(queued.trial, rung)

    def _may_pass(self, trial: optuna.Trial, rung: int) -> bool:
        """Check whether a trial goes on beyond the rung that it has reached, and record it if so."""
        frozen = self._read(trial)
        if count_passed(frozen) >= rung or not is_first_seed(frozen):
            return True
        counts = TrialCounts(self._study.get_trials(deepcopy=False), self._retries, rungs=self._rungs)
        if not self._rungs.is_among_best(frozen, counts.counted, counts.lost):
            return False
        trial.set_user_attr(PROMOTED, rung)
        return True

    @retry_while_locked
    def end(self, queued: QueuedTrial, process: TrialProcess) -> TrialResult | None:
        """Tell the study that a trial's process has ended.

        Returns:
            Its result; None if it was interrupted or paused, and waits to be continued.
        """
        status, cause = process.asked or ("failed", process.describe_end())
        seconds = process.runtime_s
        with self._worker_lock.hold():
            has_result = (queued.directory / FILE_NAME).exists()
            is_given_up = process.was_killed and not has_result and _is_killed_again(queued.trial, process)
            can_go_on = status in RESUMABLE or process.was_killed or process.disk_fault is not None
            if can_go_on and not has_result and not is_given_up:
                self.put_back(queued.trial, cause, seconds, process.env_steps, status, killed=process.was_killed)
                return None
            if is_given_up:
                cause = f"{cause}; twice, without a new state in between"
            result = load_result_or_fallback(
                queued.directory,
                status,
                cause,
                trial=queued.trial.number,
                seed=queued.candidate.validate().seed,
                wall_time_s=queued.earlier_s + seconds,
            )
            env_steps = max(result.env_steps, process.env_steps)
            self.tell(queued, result, seconds, env_steps=env_steps, killed=is_given_up)
            return result

    @retry_while_locked
    def tell(
        self, queued: QueuedTrial, result: TrialResult, runtime_s: float, *, env_steps: int, killed: bool = False
    ) -> None:
        """Tell the study a trial's result, unless another worker has taken the trial over.

        Args:
            queued: The trial.
            result: Its result.
            runtime_s: How long its last life was [s].
            env_steps: Of the training at its end.
            killed: Whether it is given up because it was killed.
        """
        with self._worker_lock.hold():
            if self._is_ours(queued.trial):
                end_life(queued.trial, runtime_s, 0 if queued.history is not None else env_steps, killed=killed)
                self.complete(queued.trial, result)

    def put_back(
        self,
        trial: optuna.Trial,
        cause: str,
        runtime_s: float,
        env_steps: int,
        status: str = "interrupted",
        *,
        killed: bool,
    ) -> None:
        """Let a trial without a result wait until it is continued, with the same number and directory."""
        if not self._is_ours(trial):
            return
        end_life(trial, runtime_s, env_steps, killed=killed)
        trial.set_user_attr(STATUS, status if status in RESUMABLE else "interrupted")
        trial.set_user_attr(CAUSE, cause)
        self._study._storage.set_trial_state_values(trial._trial_id, TrialState.WAITING)

    def complete(self, trial: optuna.Trial, result: TrialResult) -> None:
        """Tell the study the final result."""
        value = result.get_objective(self._metric)
        state = TrialState.FAIL if value is None else TrialState.COMPLETE
        trial.set_user_attr(CAUSE, result.cause)
        trial.set_user_attr(STATUS, result.status)
        self._study.tell(trial, value, state=state)

    def _is_ours(self, trial: optuna.Trial) -> bool:
        """Check whether a trial is still assigned to this worker."""
        now = self._read(trial)
        return now.state == TrialState.RUNNING and now.user_attrs.get(WORKER) == self._worker_lock.name

    def _read(self, trial: optuna.Trial) -> FrozenTrial:
        return self._study._storage.get_trial(trial._trial_id)


def _is_killed_again(trial: optuna.Trial, process: TrialProcess) -> bool:
    """Check whether a trial was killed twice while its worker lived, without a new state in between.

    Such a trial may itself be the cause, for example because it needs too much memory. A life that ended with its
    worker in between does not count.
    """
    *earlier, last = read_lives(trial)
    states = {last.from_env_steps} - {None}  # that the lives after a kill started from; None: it never trained
    for life in reversed(earlier):
        if life.killed and len(states) <= 1:
            return not process.has_advanced
        states |= {life.from_env_steps} - {None}
    return False
