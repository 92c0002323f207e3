"""Where a command prints to, which may go away before it does: a terminal that closes, a pipe whose reader ends."""

import io
import logging
import os
import sys
from contextlib import suppress
from typing import Any, TextIO, cast


class DetachableStdout:
    """A standard stream, as long as it listens.

    What is lost was meant for somebody who has gone. The run or study, which holds all of it, must still be left in
    order.

    Args:
        stream: Standard output, or that of errors.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, or fall silent for good."""
        try:
            return self._stream.write(text)
        except OSError:
            return self._fall_silent(text)

    def flush(self) -> None:
        """Flush, or fall silent for good."""
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
    """A live display that is not left in order keeps it hidden."""
    with suppress(OSError, ValueError):  # whoever closed the terminal needs no cursor
        if sys.stdout.isatty():
            _write_show_cursor()


def _write_show_cursor() -> None:
    if sys.platform == "win32":  # where an older console knows no escape sequences
        from rich.console import Console

        Console().show_cursor()
    else:
        os.write(sys.stdout.fileno(), b"\x1b[?25h\n")


def detach_from_terminal() -> None:
    """Let nothing that is printed from here on fail: the reader may leave, close, or know few letters."""
    for descriptor in (0, 1, 2):
        if not _is_open(descriptor):
            os.open(os.devnull, os.O_RDWR)  # takes the number that was closed, before a file of ours does
    logging.raiseExceptions = False  # nor a log whose file is on a full disk
    sys.stdout = _listen_to(sys.stdout, 1)
    sys.stderr = _listen_to(sys.stderr, 2)


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def _listen_to(stream: TextIO | None, descriptor: int) -> TextIO:
    """A stream that does not fail. Python has none where its descriptor was closed at the start."""
    if isinstance(stream, DetachableStdout):
        return cast(TextIO, stream)
    if stream is None:
        stream = os.fdopen(descriptor, "w", encoding="utf-8")
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="replace")  # of a letter that the locale's encoding lacks
    return cast(TextIO, DetachableStdout(stream))
