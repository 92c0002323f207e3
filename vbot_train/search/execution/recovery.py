"""Recovery of trials whose worker died."""

from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, TrialState

from vbot_train.search.execution.fallback import KILLED_CAUSE, LOG, load_result_or_fallback, measure_last_life_s
from vbot_train.search.execution.trial_reporter import TrialReporter
from vbot_train.search.execution.worker_lock import WorkerLock
from vbot_train.study.accounting import read_params
from vbot_train.study.attributes import HISTORY, SEED, WORKER
from vbot_train.study.layout import locate_trial
from vbot_train.study.lives import compute_runtime_s, end_life
from vbot_train.study.trials import is_own
from vbot_train.training.progress import read_last_env_steps
from vbot_train.training.result import FILE_NAME
from vbot_train.training.run_directory import has_owner


def recover_trials(
    study: optuna.Study, folder: Path, worker_lock: WorkerLock, reporter: TrialReporter, default_seed: int
) -> bool:
    """Recover the trials of workers that died.

    A trial's process takes a moment to notice that its worker has died; until then it owns its directory, and the trial
    is left alone.

    Args:
        study: The study; only within its lock.
        folder: Where its trials write.
        worker_lock: This worker's lock.
        reporter: Tells the study what becomes of them.
        default_seed: Training seed of a trial that does not name one.

    Returns:
        Whether other workers are training trials of this study.
    """
    others_train = False
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    for trial in (trial for trial in running if is_own(trial)):
        worker = trial.user_attrs.get(WORKER)
        if worker_lock.is_alive(worker) or has_owner(locate_trial(folder, trial.number)):
            others_train = others_train or worker != worker_lock.name
        else:
            _recover_trial(study, trial, locate_trial(folder, trial.number), reporter, default_seed)
    return others_train


def _recover_trial(
    study: optuna.Study, frozen: FrozenTrial, directory: Path, reporter: TrialReporter, default_seed: int
) -> None:
    """Tell the study a trial's result if it has one; otherwise let it wait to be continued."""
    trial = optuna.Trial(study, frozen._trial_id)
    reporter.own(trial)
    seconds = measure_last_life_s(frozen, directory)
    if not (directory / FILE_NAME).exists():
        reporter.put_back(trial, KILLED_CAUSE, seconds, read_last_env_steps(directory), killed=False)
        return
    seed = read_params(frozen).get("seed", frozen.user_attrs.get(SEED, default_seed))
    cause = "its result cannot be read"
    result = load_result_or_fallback(directory, "failed", cause, trial=frozen.number, seed=seed, wall_time_s=seconds)
    if HISTORY in frozen.user_attrs and not (directory / LOG).exists():  # a result that was taken over costs nothing
        end_life(trial, 0.0, 0)
    else:
        end_life(trial, max(seconds, result.wall_time_s - compute_runtime_s(frozen)), result.env_steps)
    reporter.complete(trial, result)
