"""Our files: read whole, written whole or not at all.

Windows refuses to replace or remove a file that somebody has open, so it is asked again for a while.
"""

import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml

HELD_S = 1.0  # a reader has the file open for well below that; so has a virus scanner
POLL_S = 0.02


class FileError(ValueError):
    """A file of ours that cannot be used; the message names it."""


def read_yaml(path: Path) -> Any:
    """The content of a YAML file, plain values only. By libyaml: a study has thousands of them."""
    return _parse(path.read_text(encoding="utf-8"))


def read_whole_yaml(path: Path) -> dict[str, Any]:
    """A mapping in a YAML file that we wrote ourselves.

    Raises:
        FileError: The file is missing, holds something else, or was cut short: then it lacks its last newline.
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
    """Write a file whole or not at all, so that no reader ever sees half of it. A text is written as UTF-8."""
    with replace_atomically(path) as temporary, temporary.open("xb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
        file.flush()
        os.fsync(file.fileno())  # or a power cut could leave the name without the content


@contextmanager
def replace_atomically(path: Path) -> Iterator[Path]:
    """A name beside ``path`` for a file that takes its place at the end, unless writing it failed."""
    temporary = path.with_name(f".{secrets.token_hex(4)}.{path.name}")  # random: containers share process numbers
    try:
        yield temporary
        replace_file(temporary, path)
    finally:
        with suppress(PermissionError):  # a virus scanner may hold it; what was raised above matters more
            remove_file(temporary)


def replace_file(source: Path, target: Path) -> None:
    """Give a file another name, whatever has that name already.

    Raises:
        PermissionError: Somebody keeps one of the two open, on Windows, or the folder is not ours.
    """
    _ask_again_while_held(lambda: source.replace(target))


def remove_file(path: Path) -> None:
    """Remove a file if it is there.

    Raises:
        PermissionError: Somebody keeps it open, on Windows, or the folder is not ours.
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
