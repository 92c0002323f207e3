"""Create, resume and read a study: its database, and its record in the study's directory."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from secrets import token_hex

import optuna
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from vbot_train.study.attributes import ID, INFEASIBLE, WORKER
from vbot_train.study.errors import StudyError
from vbot_train.study.layout import STAGES, STUDY_DB, STUDY_YAML, TRIALS, WORKERS, name_stage
from vbot_train.study.provenance import describe_provenance
from vbot_train.study.record import StudyRecord
from vbot_train.study.storage import connect, list_stage_studies, open_existing, read_trials, report_storage_errors
from vbot_train.study.storage_url import hide_password
from vbot_train.study.trials import is_own
from vbot_train.training.files import write_atomically
from vbot_train.training.metrics import METRICS

ID_FILE = "study.id"

Prepare = Callable[[optuna.Study], None]


def begin_study(
    directory: Path,
    storage: str | None,
    record: StudyRecord,
    infeasible: Mapping[str, int],
    prepare: Prepare,
) -> optuna.Study:
    """Create a study and write its record. ``study.yaml`` is written last: a study that has one is complete.

    Args:
        directory: The study's directory, which must exist.
        storage: SQLAlchemy URL; None for SQLite in the directory.
        record: Content of ``study.yaml``, without storage and provenance.
        infeasible: Initial number of infeasible points by constraint.
        prepare: Function that queues the initial points.

    Raises:
        StudyError: The database cannot be used, or contains a study of this name from another directory.
    """
    name, direction = record.study, METRICS[record.metric].direction
    own_id = read_or_create_id(directory)
    with report_storage_errors(storage, directory):
        database = connect(storage, directory)
        _clear_half_begun(database, name, None if storage is None else own_id)
        study = optuna.create_study(study_name=name, storage=database, direction=direction, load_if_exists=True)
        if study.get_trials(deepcopy=False) or study.user_attrs.get(ID, own_id) != own_id:
            raise StudyError(f"study={name}: the storage holds it already, but {directory} no {STUDY_YAML} of it")
        study.set_user_attr(ID, own_id)
        for stale in list_stage_studies(database, name).values():
            optuna.delete_study(study_name=stale, storage=database)
        study.set_user_attr(INFEASIBLE, dict(infeasible))
    prepare(study)
    (directory / TRIALS).mkdir(exist_ok=True)
    replace(record, storage=hide_password(storage), **describe_provenance()).write(directory)
    return study


def continue_study(directory: Path, storage: str | None, record: StudyRecord, prepare: Prepare) -> optuna.Study:
    """Resume an existing study, and record the resume.

    Args:
        directory: The study's directory.
        storage: SQLAlchemy URL, which must be the study's own; None for the one in the record.
        record: Its record, which is written again with the resume added.
        prepare: Function that queues new initial points.

    Raises:
        StudyError: The database is missing, invalid or locked, or does not contain the study.
    """
    name, home = record.study, record.find_home(storage)
    if storage not in (None, home):
        there = hide_password(home) or directory / STUDY_DB
        raise StudyError(
            f"storage={hide_password(storage)}: study={name} lives in {there}; leave storage= out to continue it"
        )
    with report_storage_errors(storage or home, directory):
        database = open_existing(home, directory)
        study = optuna.load_study(study_name=name, storage=database)
    prepare(study)
    replace(record, resumed=[*record.resumed, describe_provenance()]).write(directory)
    return study


def look_into(directory: Path, storage: str | None, record: StudyRecord) -> dict[str, list[FrozenTrial]]:
    """Return the trials of each stage of a study, without those of scripts. Changes nothing.

    Args:
        directory: The study's directory.
        storage: Storage URL of the command line.
        record: The study's record.

    Raises:
        StudyError: The study cannot be read.
    """
    home = record.find_home(storage)
    with report_storage_errors(home, directory):
        trials = read_trials(open_existing(home, directory), record.study)
    return {stage: [*filter(is_own, trials.get(stage, []))] for stage in (TRIALS, *STAGES)}


def open_stage(directory: Path, storage: str | None, stage: str) -> optuna.Study:
    """Open the Optuna study of a later stage, created if it does not exist.

    Args:
        directory: The study's directory.
        storage: Storage URL of the command line.
        stage: ``confirm`` or ``test``.

    Raises:
        StudyError: The database cannot be used.
    """
    record = StudyRecord.read(directory)
    assert record is not None
    home = record.find_home(storage)
    (directory / stage).mkdir(exist_ok=True)
    with report_storage_errors(home, directory):
        return optuna.create_study(
            study_name=name_stage(record.study, stage),
            storage=open_existing(home, directory),
            direction=METRICS[record.metric].direction,
            load_if_exists=True,
        )


def _clear_half_begun(database: RDBStorage, name: str, own_id: str | None) -> None:
    """Delete a study whose creation was interrupted: it has only queued initial points, maybe for other settings.

    Args:
        database: Database that may contain the study.
        name: The study's name.
        own_id: The study's id; None if the database cannot contain studies of other directories.
    """
    if name in optuna.get_all_study_names(database):
        study = optuna.load_study(study_name=name, storage=database)
        is_ours = own_id in (None, study.user_attrs.get(ID))
        trials = study.get_trials(deepcopy=False)
        if is_ours and all(trial.state == TrialState.WAITING and WORKER not in trial.user_attrs for trial in trials):
            optuna.delete_study(study_name=name, storage=database)


def read_or_create_id(directory: Path) -> str:
    """Return the id of a directory's study; it is written there before the study is created."""
    file = directory / WORKERS / ID_FILE
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, token_hex(16) + "\n")
    return file.read_text(encoding="utf-8").strip()
