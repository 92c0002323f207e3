"""The database of a study: opened for writing or read-only, with readable error messages."""

import functools
import logging
import shutil
import sqlite3
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ParamSpec, TypeVar

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, RDBStorage, get_storage
from optuna.trial import FrozenTrial
from pydantic import ValidationError
from sqlalchemy import NullPool
from sqlalchemy.exc import SQLAlchemyError
from yaml import YAMLError

from vbot_train.study.errors import StudyError
from vbot_train.study.layout import STAGES, STUDY_DB, TRIALS, name_stage
from vbot_train.study.storage_url import HIDDEN, build_file_url, find_sqlite_file, hide_password

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger(__name__)

LOCKED_S = 10  # how long SQLite itself waits while another process writes
RETRY_S = 300.0  # how long a step is retried after that
STORAGE_ERRORS = (SQLAlchemyError, StorageInternalError)
# What reading a study may raise: database errors, and errors from a missing driver, tables of another version or
# files with other content.
READ_ERRORS = (
    *(*STORAGE_ERRORS, YAMLError, ImportError, RuntimeError, OSError),
    *(TypeError, KeyError, AttributeError, UnicodeDecodeError, ValidationError),
)


def connect(storage: str | None, directory: Path, *, skip_table_creation: bool = False) -> RDBStorage:
    """Connect to the database of a study; create Optuna's tables if they are missing, unless this is skipped.

    Raises:
        StudyError: The URL comes from a record, which hides the password.
    """
    url = storage or build_file_url(directory / STUDY_DB)
    if HIDDEN in url:
        raise StudyError(f"storage: study={directory.name} lives in {url}; give storage= with the password")
    engine_kwargs = {"connect_args": {"timeout": LOCKED_S}} if url.startswith("sqlite") else {}
    return RDBStorage(url, engine_kwargs=engine_kwargs, skip_table_creation=skip_table_creation)


def open_existing(storage: str | None, directory: Path) -> RDBStorage:
    """Open the database of an existing study; raise StudyError if its SQLite file is missing."""
    file = directory / STUDY_DB if storage is None else find_sqlite_file(storage)
    if file is not None and not file.is_file():  # SQLite would create an empty one
        raise StudyError(f"study={directory.name}: {file} is missing")
    return connect(storage, directory, skip_table_creation=True)


def open_to_read(home: str | None, directory: Path) -> BaseStorage:
    """Open the database of a study read-only.

    Args:
        home: SQLAlchemy URL; None for SQLite in the directory.
        directory: The study's directory.

    Raises:
        StudyError: The SQLite file is missing.
        SQLAlchemyError: The file is not a database, or stays locked.
        RuntimeError: The database is of another version of Optuna.
    """
    url = home or build_file_url(directory / STUDY_DB)
    path = find_sqlite_file(url)
    if path is None:
        return get_storage(RDBStorage(url, skip_table_creation=True))
    if not path.is_file():
        raise StudyError(f"{directory}: its study cannot be read ({path} is missing)")
    settings = {"creator": lambda: connect_to_read(path), "poolclass": NullPool}
    return get_storage(RDBStorage(f"sqlite:///{STUDY_DB}", engine_kwargs=settings, skip_table_creation=True))


def list_stage_studies(database: BaseStorage, study: str) -> dict[str, str]:
    """Return the storage names of a study's later stages that have begun, by stage."""
    known = optuna.get_all_study_names(database)
    return {stage: name for stage in STAGES if (name := name_stage(study, stage)) in known}


def read_trials(database: BaseStorage, study: str) -> dict[str, list[FrozenTrial]]:
    """Return the trials of a study by stage: of the search, and of each later stage that has begun."""
    names = {TRIALS: study} | list_stage_studies(database, study)
    studies = {stage: optuna.load_study(study_name=name, storage=database) for stage, name in names.items()}
    return {stage: found.get_trials(deepcopy=False) for stage, found in studies.items()}


def connect_to_read(path: Path) -> sqlite3.Connection:
    """Connect to a SQLite file read-only; if a writer was killed in a transaction, to the state before it."""
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=LOCKED_S)
    try:
        connection.execute("SELECT 1 FROM sqlite_master")
    except sqlite3.OperationalError as error:
        connection.close()
        if error.sqlite_errorname != "SQLITE_READONLY_ROLLBACK":
            raise
        return _copy_rolled_back(path)
    return connection


def _copy_rolled_back(path: Path) -> sqlite3.Connection:
    """Return an in-memory copy without the unfinished transaction; SQLite's own rollback would write to the file."""
    memory = sqlite3.connect(":memory:")
    with TemporaryDirectory() as folder:
        for part in (path, path.with_name(f"{path.name}-journal")):
            shutil.copy(part, folder)
        with closing(sqlite3.connect(Path(folder) / path.name)) as copy:
            copy.backup(memory)
    return memory


@contextmanager
def report_storage_errors(storage: str | None, directory: Path) -> Iterator[None]:
    """Convert errors of a database into a StudyError with a one-line message."""
    try:
        yield
    except (*STORAGE_ERRORS, ImportError, RuntimeError, ValueError, KeyError) as error:
        if isinstance(error, StudyError):
            raise
        where = f"storage={hide_password(storage)}" if storage else str(directory / STUDY_DB)
        raise StudyError(f"{where}: cannot be used ({extract_database_message(error)})") from error


def extract_database_message(error: Exception) -> str:
    """Return the first line of the original error behind an error of the storage."""
    origin = getattr(error.__cause__ or error, "orig", None) or error.__cause__ or error
    return (str(origin).splitlines() or [type(error).__name__])[0]


def retry_while_locked(step: Callable[P, T]) -> Callable[P, T]:
    """Retry a step for ``RETRY_S`` while the database is locked. It must be idempotent: it may fail halfway."""

    @functools.wraps(step)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        deadline = time.monotonic() + RETRY_S
        while True:
            try:
                return step(*args, **kwargs)
            except STORAGE_ERRORS as error:
                what = extract_database_message(error)
                if "locked" not in what or time.monotonic() > deadline:
                    raise
                log.warning("the study's storage: %s; trying again", what)

    return wrapped


def quiet_optuna() -> None:
    """Silence Optuna's messages on every trial, which our display shows, and on experimental arguments."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
