"""Where a study lives, as a SQLAlchemy URL; of SQLite, in which file.

SQLAlchemy takes a file's path (``sqlite:///x.db``), or SQLite's own URI (``sqlite:///file:x.db?uri=true``).
"""

from pathlib import Path
from urllib.parse import quote, unquote

from sqlalchemy import URL, make_url

URI, MEMORY = "file:", ":memory:"


def url_of_file(file: Path) -> str:
    """The URL of a SQLite file, also where its path holds what means something in a URL."""
    return URL.create("sqlite", database=str(file)).render_as_string()


def absolute_url(storage: str) -> str:
    """The URL, which means the same wherever it is read, and is the same for the same SQLite file.

    Raises:
        SQLAlchemyError: It is not a URL.
    """
    url, file = make_url(storage), sqlite_file(storage)
    if file is None or file == file.resolve():
        return storage
    name = f"{URI}{quote(str(file.resolve()))}" if _is_uri(url) else str(file.resolve())
    return url.set(database=name).render_as_string(hide_password=False).replace("%2A", "*")  # *** of a hidden password


def sqlite_file(storage: str) -> Path | None:
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
