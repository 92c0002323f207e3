"""Load a study: its record, its trials and their results."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, TrialState

from vbot_train.study.attributes import CAUSE, INFEASIBLE, ORIGIN, RETRY_OF, SEED, SEEDS, STATUS
from vbot_train.study.errors import StudyError
from vbot_train.study.layout import SETTINGS, STUDY_YAML, TRIALS, locate_trial
from vbot_train.study.lives import find_end, read_lives
from vbot_train.study.record import StudyRecord
from vbot_train.study.seeds import merge_seeds
from vbot_train.study.steps import correct_params
from vbot_train.study.storage import READ_ERRORS, extract_database_message, open_to_read, read_trials
from vbot_train.study.storage_url import HIDDEN
from vbot_train.study.trials import LeftOut, Study, Trial, is_own
from vbot_train.training.files import FileError, read_whole_yaml, read_yaml
from vbot_train.training.metrics import METRICS
from vbot_train.training.result import FILE_NAME, RESUMABLE, ResultError, TrialResult

REMEMBERED = 10_000  # files that are cached until they change


def load_study(directory: Path, storage: str | None = None) -> Study:
    """Load a study.

    Args:
        directory: The study's directory.
        storage: Its storage URL with the password, used only if the record's URL lacks the password.

    Raises:
        StudyError: The directory is not that of a study, or the study cannot be read.
    """
    path = directory / STUDY_YAML
    if not path.is_file():
        raise StudyError(f"{directory}: not the directory of a study (there is no study.yaml)")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        record = StudyRecord.parse(read_yaml(path))
        if record.metric not in METRICS:
            raise StudyError(f"{path}: metric={record.metric}: choose one of {', '.join(METRICS)}")
        url = record.storage
        if url is not None and HIDDEN in url:
            url = storage or url
        if url is not None and HIDDEN in url:
            raise StudyError(f"{directory}: lives in {url}; its storage must be given with the password")
        database = open_to_read(url, directory)
        trials = read_trials(database, record.study)
        infeasible = optuna.load_study(study_name=record.study, storage=database).user_attrs.get(INFEASIBLE, {})
    except READ_ERRORS as error:
        raise StudyError(f"{directory}: its study cannot be read ({extract_database_message(error)})") from error
    return build_study(directory, record, trials, infeasible)


def build_study(
    directory: Path,
    record: StudyRecord,
    trials: Mapping[str, Sequence[FrozenTrial]],
    infeasible: dict[str, int] | None = None,
) -> Study:
    """Build a study from its database and its directory. This decides for all commands which trials count.

    A trial with a value counts if its files can be read: its result, those of its seeds, and its settings, without
    which it can be neither compared nor trained again. For a trial without a value the database is enough if files are
    missing. A trial that no search trained, for example one that a script added, does not count.

    Args:
        directory: The study's directory.
        record: Content of ``study.yaml``.
        trials: All trials of the database, by stage.
        infeasible: Number of rejected proposals by constraint.
    """
    loaded: dict[str, list[Trial]] = {TRIALS: []}
    left_out = []
    for stage, found in trials.items():
        loaded[stage] = []
        for trial in (trial for trial in found if trial.state.is_finished()):
            try:
                loaded[stage].append(_load_trial(trial, directory / stage))
            except FileError as error:
                left_out.append(LeftOut(stage, trial.number, trial.params, str(error)))
    waiting = [trial for trial in trials[TRIALS] if trial.state == TrialState.WAITING and is_own(trial)]
    held = [trial for trial in waiting if record.rungs.is_paused(trial)]
    interrupted = sum(trial.user_attrs.get(STATUS) in RESUMABLE for trial in waiting) - len(held)
    single = loaded.pop(TRIALS)
    own = merge_seeds(single, record.retries, by_first=len(record.rungs) > 0)
    statuses = Counter(trial.result.status for trial in single) + Counter(interrupted=interrupted, paused=len(held))
    paused = [_build_paused_trial(trial, directory / TRIALS) for trial in held]
    return Study(
        directory, record, own, infeasible or {}, **loaded, paused=paused, left_out=left_out, statuses=statuses
    )


def _build_paused_trial(trial: FrozenTrial, folder: Path) -> Trial:
    """Build a trial that waits at a rung from the database."""
    env_steps = sum(life.env_steps for life in read_lives(trial))
    result = replace(_result_in_database(trial), status="paused", env_steps=env_steps)
    return _build_trial(trial, locate_trial(folder, trial.number), result)


def _load_trial(trial: FrozenTrial, folder: Path) -> Trial:
    """Load a trial that has ended.

    Raises:
        FileError: The trial does not count.
    """
    path = locate_trial(folder, trial.number)
    if not is_own(trial):
        raise ResultError(f"{path}: no search trained it, something else wrote it into the database")
    try:
        result, seed_runs = _read_results(path)
    except FileError:
        if trial.state == TrialState.COMPLETE:
            raise
        result, seed_runs = _result_in_database(trial), {}
    return replace(_build_trial(trial, path, result), seed_runs=seed_runs)


def _build_trial(trial: FrozenTrial, directory: Path, result: TrialResult) -> Trial:
    lives = read_lives(trial)
    return Trial(
        number=trial.number,
        params=correct_params(trial.params, trial.distributions),
        distributions=trial.distributions,
        result=result,
        directory=directory,
        intermediate=trial.intermediate_values,
        origin=trial.user_attrs.get(ORIGIN),
        ended=find_end(trial),
        killed=any(life.killed for life in lives[-1:]),
        retry_of=trial.user_attrs.get(RETRY_OF),
        seeds=tuple(trial.user_attrs.get(SEEDS, ())),
        lives=tuple(lives),
    )


def _read_results(directory: Path) -> tuple[TrialResult, dict[Path, TrialResult]]:
    """Read a trial's result; in older studies with several seeds, also the results of the seeds by directory.

    Raises:
        FileError: A result or the trial's settings cannot be read.
    """
    result = _load_result(directory, _read_stamp(directory / FILE_NAME))
    seeds = [directory / f"seed_{seed}" for seed in result.seeds if len(result.seeds) > 1]
    seed_runs = {seed: _load_result(seed, _read_stamp(seed / FILE_NAME)) for seed in seeds}
    if any(each.status == "completed" for each in (result, *seed_runs.values())):
        for name in SETTINGS:
            _check_settings(directory / name, _read_stamp(directory / name))
    return result, seed_runs


def _result_in_database(trial: FrozenTrial) -> TrialResult:
    """Build the result of a trial without a value from the database."""
    attributes = trial.user_attrs
    seed = int(trial.params.get("seed", attributes.get(SEED, 0)))
    return TrialResult(attributes.get(STATUS, "interrupted"), trial.number, seed, [seed], cause=attributes.get(CAUSE))


def _read_stamp(path: Path) -> tuple[int, int] | None:
    """Return modification time [ns] and size [bytes] of a file, to detect changes; None if there is no file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


@lru_cache(REMEMBERED)
def _load_result(directory: Path, stamp: tuple[int, int] | None) -> TrialResult:
    return TrialResult.load(directory)


@lru_cache(REMEMBERED)
def _check_settings(path: Path, stamp: tuple[int, int] | None) -> None:
    read_whole_yaml(path)
