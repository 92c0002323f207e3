"""Where a study lives, as a SQLAlchemy URL; of SQLite, in which file. A password is part of no record.

SQLAlchemy takes a file's path (``sqlite:///x.db``), or SQLite's own URI (``sqlite:///file:x.db?uri=true``).
"""

from pathlib import Path
from urllib.parse import quote, unquote

from sqlalchemy import URL, make_url
from sqlalchemy.exc import SQLAlchemyError

from vbot_train.study.errors import StudyError

URI, MEMORY = "file:", ":memory:"
HIDDEN = "***"  # stands for a password in what is written down or shown
SECRET_KEYS = ("storage",)  # a URL may hold a password: no trial needs it, none records it
QUOTES = "'\""  # of Hydra's grammar


def build_file_url(file: Path) -> str:
    """The URL of a SQLite file, also where its path holds what means something in a URL."""
    return URL.create("sqlite", database=str(file)).render_as_string()


def make_url_absolute(storage: str) -> str:
    """The URL, which means the same wherever it is read, and is the same for the same SQLite file.

    Raises:
        SQLAlchemyError: It is not a URL.
    """
    url, file = make_url(storage), find_sqlite_file(storage)
    if file is None or file == file.resolve():
        return storage
    name = f"{URI}{quote(str(file.resolve()))}" if _is_uri(url) else str(file.resolve())
    return url.set(database=name).render_as_string(hide_password=False).replace("%2A", "*")  # *** of a hidden password


def find_sqlite_file(storage: str) -> Path | None:
    """The file of a SQLite database; None where it is another database, or in memory.

    Raises:
        SQLAlchemyError: It is not a URL.
    """
    url = make_url(storage)
    if url.get_backend_name() != "sqlite" or is_in_memory(storage):
        return None
    name = url.database or ""
    return Path(unquote(name.removeprefix(URI).removeprefix("//localhost"))) if _is_uri(url) else Path(name)


def is_in_memory(storage: str) -> bool:
    """Whether it is a SQLite database in memory: only the connection that makes it sees it.

    Raises:
        SQLAlchemyError: It is not a URL.
    """
    url = make_url(storage)
    name = url.database or MEMORY
    if _is_uri(url):
        name = MEMORY if url.query.get("mode") == "memory" else name.removeprefix(URI) or MEMORY
    return url.get_backend_name() == "sqlite" and name == MEMORY


def _is_uri(url: URL) -> bool:
    return "uri" in url.query and (url.database or "").startswith(URI)


def hide_password(storage: str | None) -> str | None:
    """A storage's URL without its password.

    Raises:
        StudyError: It is not a URL.
    """
    if storage is None:
        return None
    try:
        url = make_url(storage)
    except SQLAlchemyError:
        raise StudyError("storage: not a SQLAlchemy URL such as postgresql://HOST/DATABASE") from None
    secrets = {key: HIDDEN for key in url.query if "pass" in key.lower()}
    return url.update_query_dict(secrets).render_as_string(hide_password=True).replace("%2A", "*")


def check_storage(storage: str | None) -> str | None:
    """A storage's URL as typed, made absolute: every worker and every later command must find the study there.

    Raises:
        StudyError: It is not a URL, or one of a database that none of them would find.
    """
    shown = hide_password(storage)
    if storage is None:
        return None
    if is_in_memory(storage):
        raise StudyError(f"storage={shown}: a database in memory ends with its connection; name a file, or a server")
    return make_url_absolute(storage)


def hide_password_in_argument(argument: str) -> str:
    """An argument of the command line as it may be written down."""
    key, _, value = argument.partition("=")
    if key.lstrip("+") not in SECRET_KEYS or "${" in value:  # an interpolation, as of an environment variable
        return argument
    url = value.strip(QUOTES)
    return argument.replace(url, str(hide_password(url)))
