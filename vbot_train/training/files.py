"""Atomic writing, and validated reading, of the project's own files.

Windows refuses to replace or remove a file that another process has open, so these operations are retried for a while.
"""

import errno
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml

HELD_S = 1.0  # readers and virus scanners keep a file open for much less time
POLL_S = 0.02
DISK_FAULTS = (errno.ENOSPC, errno.EDQUOT, errno.EIO)  # full, quota exceeded, defective


class FileError(ValueError):
    """One of the project's files cannot be used; the message names it."""


def is_disk_fault(error: BaseException) -> bool:
    """Check whether an error says that the disk takes no more data, whatever the program does."""
    return isinstance(error, OSError) and error.errno in DISK_FAULTS


def read_yaml(path: Path) -> Any:
    """Return the content of a YAML file, plain values only. Uses libyaml for speed: a study has thousands of files."""
    return _parse(path.read_text(encoding="utf-8"))


def read_whole_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping in a YAML file that this project wrote.

    Raises:
        FileError: The file is missing, does not hold a mapping, or is truncated (its final newline is missing).
    """
    try:
        text = path.read_text(encoding="utf-8")
        content = _parse(text)
    except (OSError, yaml.YAMLError, ValueError) as error:
        what = getattr(error, "strerror", None) or getattr(error, "problem", None) or str(error).splitlines()[0]
        raise FileError(f"{path} cannot be read: {what}") from error
    if not isinstance(content, dict) or not text.endswith("\n"):
        raise FileError(f"{path} cannot be read: it was cut short, or holds something else")
    return content


def _parse(text: str) -> Any:
    return yaml.load(text, Loader=yaml.CSafeLoader)


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file atomically, so that no reader ever sees a partial file. Text is encoded as UTF-8."""
    with replace_atomically(path) as temporary, temporary.open("xb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
        file.flush()
        os.fsync(file.fileno())  # otherwise a power failure could leave an empty file under the final name


@contextmanager
def replace_atomically(path: Path) -> Iterator[Path]:
    """Provide a temporary path in the same folder; replace ``path`` by that file at the end, unless writing failed."""
    temporary = path.with_name(f".{secrets.token_hex(4)}.{path.name}")  # random: process ids repeat across containers
    try:
        yield temporary
        replace_file(temporary, path)
    finally:
        with suppress(PermissionError):  # a virus scanner may hold it; an earlier error matters more
            remove_file(temporary)


def replace_file(source: Path, target: Path) -> None:
    """Rename a file, replacing the target if it exists.

    Raises:
        PermissionError: Another process keeps one of the two open (Windows), or the folder is not writable.
    """
    _ask_again_while_held(lambda: source.replace(target))


def remove_file(path: Path) -> None:
    """Remove a file if it exists.

    Raises:
        PermissionError: Another process keeps it open (Windows), or the folder is not writable.
    """
    _ask_again_while_held(lambda: path.unlink(missing_ok=True))


def _ask_again_while_held(act: Callable[[], object]) -> None:
    deadline = time.monotonic() + HELD_S
    while True:
        try:
            act()
            return
        except PermissionError:
            if time.monotonic() > deadline:
                raise
        time.sleep(POLL_S)
