"""Standard streams that keep working after the terminal is closed or the reader of a pipe has ended; what was typed."""

import io
import logging
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO, cast

CONSOLE_SCRIPT = "vbot-train"  # [project.scripts] in pyproject.toml


class DetachableStdout:
    """A standard stream that discards its output, instead of raising, after the first write error.

    Nobody can read the lost output, and the files of the run or study, which must still be written completely, contain
    the same information.

    Args:
        stream: Standard output or standard error.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write text; after an error, redirect the stream to the null device permanently."""
        try:
            return self._stream.write(text)
        except OSError:
            return self._fall_silent(text)

    def flush(self) -> None:
        """Flush; after an error, redirect the stream to the null device permanently."""
        try:
            self._stream.flush()
        except OSError:
            self._fall_silent("")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _fall_silent(self, text: str) -> int:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)
        return len(text)


def show_cursor() -> None:
    """Show the cursor again, which a live display that was not closed properly leaves hidden."""
    with suppress(OSError, ValueError):  # a closed terminal needs no cursor
        if sys.stdout.isatty():
            _write_show_cursor()


def _write_show_cursor() -> None:
    if sys.platform == "win32":  # older consoles do not support escape sequences
        from rich.console import Console

        Console().show_cursor()
    else:
        os.write(sys.stdout.fileno(), b"\x1b[?25h\n")


def detach_from_terminal() -> None:
    """Make printing never fail from here on, for closed or broken streams and for characters that cannot be encoded."""
    for descriptor in (0, 1, 2):
        if not _is_open(descriptor):
            os.open(os.devnull, os.O_RDWR)  # takes the number of the closed descriptor, before another file does
    logging.raiseExceptions = False  # a log on a full disk must not fail either
    sys.stdout = _listen_to(sys.stdout, 1)
    sys.stderr = _listen_to(sys.stderr, 2)


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def _listen_to(stream: TextIO | None, descriptor: int) -> TextIO:
    """Wrap a stream so that it does not fail; ``stream`` is None if its descriptor was closed at start."""
    if isinstance(stream, DetachableStdout):
        return cast(TextIO, stream)
    if stream is None:
        stream = os.fdopen(descriptor, "w", encoding="utf-8")
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="replace")  # for characters that the locale's encoding lacks
    return cast(TextIO, DetachableStdout(stream))


def name_command(name: str | None = None) -> str:
    """Return what the user types for a command, or for the main one: the console script, if that is what runs."""
    if Path(sys.argv[0]).stem == CONSOLE_SCRIPT:
        return CONSOLE_SCRIPT if name is None else f"{CONSOLE_SCRIPT} {name}"
    return "python -m vbot_train" if name is None else f"python -m vbot_train.{name}"
