"""Storage URLs of studies, in SQLAlchemy's format; no record contains a password.

For SQLite, SQLAlchemy accepts a file path (``sqlite:///x.db``) or SQLite's URI (``sqlite:///file:x.db?uri=true``).
"""

from pathlib import Path
from urllib.parse import quote, unquote

from sqlalchemy import URL, make_url
from sqlalchemy.exc import SQLAlchemyError

from vbot_train.study.errors import StudyError

URI, MEMORY = "file:", ":memory:"
HIDDEN = "***"  # replaces a password in everything written or shown
SECRET_KEYS = ("storage",)  # its URL may contain a password; no trial needs or records it
QUOTES = "'\""  # in Hydra's override grammar


def build_file_url(file: Path) -> str:
    """Return the URL of a SQLite file, with special characters of the path escaped."""
    return URL.create("sqlite", database=str(file)).render_as_string()


def make_url_absolute(storage: str) -> str:
    """Return the URL with an absolute path: the same for the same SQLite file, in any working directory.

    Raises:
        SQLAlchemyError: The storage is not a URL.
    """
    url, file = make_url(storage), find_sqlite_file(storage)
    if file is None or file == file.resolve():
        return storage
    name = f"{URI}{quote(str(file.resolve()))}" if _is_uri(url) else str(file.resolve())
    return url.set(database=name).render_as_string(hide_password=False).replace("%2A", "*")  # *** of a hidden password


def find_sqlite_file(storage: str) -> Path | None:
    """Return the file of a SQLite database; None for another database or one in memory.

    Raises:
        SQLAlchemyError: The storage is not a URL.
    """
    url = make_url(storage)
    if url.get_backend_name() != "sqlite" or is_in_memory(storage):
        return None
    name = url.database or ""
    return Path(unquote(name.removeprefix(URI).removeprefix("//localhost"))) if _is_uri(url) else Path(name)


def is_in_memory(storage: str) -> bool:
    """Check for a SQLite database in memory, which only the connection that creates it can see.

    Raises:
        SQLAlchemyError: The storage is not a URL.
    """
    url = make_url(storage)
    name = url.database or MEMORY
    if _is_uri(url):
        name = MEMORY if url.query.get("mode") == "memory" else name.removeprefix(URI) or MEMORY
    return url.get_backend_name() == "sqlite" and name == MEMORY


def _is_uri(url: URL) -> bool:
    return "uri" in url.query and (url.database or "").startswith(URI)


def hide_password(storage: str | None) -> str | None:
    """Return a storage URL with its password hidden.

    Raises:
        StudyError: The storage is not a URL.
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
    """Return a storage URL made absolute, so that every worker and later command finds the study.

    Raises:
        StudyError: The storage is not a URL, or is a database in memory, which other processes cannot find.
    """
    shown = hide_password(storage)
    if storage is None:
        return None
    if is_in_memory(storage):
        raise StudyError(f"storage={shown}: a database in memory ends with its connection; name a file, or a server")
    return make_url_absolute(storage)


def hide_password_in_argument(argument: str) -> str:
    """Return a command-line argument with the password of a storage URL hidden."""
    key, _, value = argument.partition("=")
    if key.lstrip("+") not in SECRET_KEYS or "${" in value:  # interpolation, for example of an environment variable
        return argument
    url = value.strip(QUOTES)
    return argument.replace(url, str(hide_password(url)))
