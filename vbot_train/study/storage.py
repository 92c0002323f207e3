"""The database of a study: opened to be written or only to be read, and what it says when it cannot be."""

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
from sqlalchemy import NullPool
from sqlalchemy.exc import SQLAlchemyError
from yaml import YAMLError

from vbot_train.study.errors import StudyError
from vbot_train.study.layout import STUDY_DB
from vbot_train.study.storage_url import HIDDEN, build_file_url, find_sqlite_file, hide_password

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger(__name__)

LOCKED_S = 10  # how long SQLite itself waits for another process that writes
RETRY_S = 300.0  # how long a step is repeated after that
STORAGE_ERRORS = (SQLAlchemyError, StorageInternalError)
# What reading a study may raise: beside a database's errors, a driver that is missing, another version's tables, files
# that hold something else.
READ_ERRORS = (
    *(*STORAGE_ERRORS, YAMLError, ImportError, RuntimeError, OSError),
    *(TypeError, KeyError, AttributeError, UnicodeDecodeError),
)


def connect(storage: str | None, directory: Path, *, skip_table_creation: bool = False) -> RDBStorage:
    """The database of a study, with Optuna's tables created if they are not there, unless that is skipped.

    Raises:
        StudyError: The URL is one from a record, where its password is left out.
    """
    url = storage or build_file_url(directory / STUDY_DB)
    if HIDDEN in url:
        raise StudyError(f"storage: study={directory.name} lives in {url}; give storage= with the password")
    patience = {"connect_args": {"timeout": LOCKED_S}} if url.startswith("sqlite") else {}
    return RDBStorage(url, engine_kwargs=patience, skip_table_creation=skip_table_creation)


def open_existing(storage: str | None, directory: Path) -> RDBStorage:
    """The database of a study that was begun: it is there, or else is not created."""
    file = directory / STUDY_DB if storage is None else find_sqlite_file(storage)
    if file is not None and not file.is_file():  # SQLite would create an empty one
        raise StudyError(f"study={directory.name}: {file} is missing")
    return connect(storage, directory, skip_table_creation=True)


def open_to_read(home: str | None, directory: Path) -> BaseStorage:
    """Open the database of a study.

    Args:
        home: A SQLAlchemy URL; None is SQLite in the directory.
        directory: The study's directory.

    Raises:
        StudyError: There is no such file.
        SQLAlchemyError: What is there is no database, or stays locked.
        RuntimeError: It is that of another version of Optuna.
    """
    url = home or build_file_url(directory / STUDY_DB)
    path = find_sqlite_file(url)
    if path is None:
        return get_storage(RDBStorage(url, skip_table_creation=True))
    if not path.is_file():
        raise StudyError(f"{directory}: its study cannot be read ({path} is missing)")
    settings = {"creator": lambda: connect_to_read(path), "poolclass": NullPool}
    return get_storage(RDBStorage(f"sqlite:///{STUDY_DB}", engine_kwargs=settings, skip_table_creation=True))


def connect_to_read(path: Path) -> sqlite3.Connection:
    """Connect to a SQLite file, or to what it held before a writer was killed in the middle."""
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=LOCKED_S)
    try:
        connection.execute("SELECT 1 FROM sqlite_master")
    except sqlite3.OperationalError as error:
        connection.close()
        if error.sqlite_errorname != "SQLITE_READONLY_ROLLBACK":
            raise
        return _rolled_back(path)
    return connection


def _rolled_back(path: Path) -> sqlite3.Connection:
    """A copy in memory, its last writing undone: that SQLite does by writing, and the file is not ours to write to."""
    memory = sqlite3.connect(":memory:")
    with TemporaryDirectory() as folder:
        for part in (path, path.with_name(f"{path.name}-journal")):
            shutil.copy(part, folder)
        with closing(sqlite3.connect(Path(folder) / path.name)) as copy:
            copy.backup(memory)
    return memory


@contextmanager
def report_storage_errors(storage: str | None, directory: Path) -> Iterator[None]:
    """Turn what a database says into one line for people."""
    try:
        yield
    except (*STORAGE_ERRORS, ImportError, RuntimeError, ValueError, KeyError) as error:
        if isinstance(error, StudyError):
            raise
        where = f"storage={hide_password(storage)}" if storage else str(directory / STUDY_DB)
        raise StudyError(f"{where}: cannot be used ({extract_database_message(error)})") from error


def extract_database_message(error: Exception) -> str:
    """The first line of what lies behind an error of the storage."""
    origin = getattr(error.__cause__ or error, "orig", None) or error.__cause__ or error
    return (str(origin).splitlines() or [type(error).__name__])[0]


def retry_while_locked(step: Callable[P, T]) -> Callable[P, T]:
    """Repeat a step for some minutes while the database is locked. It must be idempotent: it may be interrupted."""

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
    """Optuna tells of every trial and of every experimental argument; our own display does the former."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    # conf/hydra/sweeper/sampler/tpe_noisy.yaml sets it; Optuna 6, which pyproject.toml excludes, will not have it.
    warnings.filterwarnings("ignore", message="`gamma` has been deprecated", category=FutureWarning)
