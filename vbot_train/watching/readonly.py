"""A study's database, opened to be read alone: it is neither created, repaired nor changed."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from optuna.storages import BaseStorage, RDBStorage, get_storage
from sqlalchemy import NullPool

from vbot_train.analysis.trials import StudyError
from vbot_train.search.study import LOCKED_S, STUDY_DB
from vbot_train.storage_url import sqlite_file, url_of_file


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
    url = home or url_of_file(directory / STUDY_DB)
    path = sqlite_file(url)
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
