"""One command of a chain, in a process of its own."""

import signal
import subprocess
import sys
import time
import types
from collections.abc import Callable, Sequence

from vbot_train.signals import handle_stop_signals, quit_at_once

POLL_S = 1.0
GRACE_S = 60.0  # in which a command that was asked to stop has ended: its trials save their states first


class Commands:
    """Runs commands one after another, and stops in order when it is asked to.

    Ctrl-C and a closed terminal reach the command too, as it belongs to the same process group; SIGTERM is handed on,
    and so is every signal that has not ended the command after a while.

    Args:
        program: What stands before the arguments of a search or a training.
    """

    def __init__(self, program: Sequence[str] = (sys.executable, "-m", "vbot_train")) -> None:
        self.program = list(program)
        self.stopped_by: int | None = None  # the signal
        self._stopped_at = 0.0
        self._process: subprocess.Popen[bytes] | None = None

    def check(self, arguments: Sequence[str]) -> str | None:
        """Run a search's line without training. Returns what is wrong with it, None if nothing is."""
        dry = subprocess.run([*self.program, *arguments, "search.dry_run=true"], capture_output=True, text=True)
        return None if dry.returncode == 0 else (dry.stderr or dry.stdout).strip()

    def run(self, arguments: Sequence[str], watch: Callable[[], None] = lambda: None, name: str | None = None) -> int:
        """Run a command to its end.

        Args:
            arguments: Its arguments.
            watch: Called about once a second, and once after the end.
            name: The command, such as ``evaluate``; None: a search or a training.

        Returns:
            The exit code; that of a signal if this process was asked to stop.
        """
        handle_stop_signals(self._receive)
        program = self.program if name is None else [sys.executable, "-m", f"vbot_train.{name}"]
        self._process = None
        self._process = subprocess.Popen([*program, *arguments])
        if self.stopped_by is not None:  # it came before the command could hear it
            self._process.send_signal(signal.SIGTERM)
        try:
            while (code := self._wait()) is None:
                watch()
                self._ask_again()
        finally:
            handle_stop_signals(quit_at_once)
        watch()
        return code if self.stopped_by is None else 128 + self.stopped_by

    def _wait(self) -> int | None:
        assert self._process is not None
        try:
            return self._process.wait(POLL_S)
        except subprocess.TimeoutExpired:
            return None

    def _receive(self, number: int, frame: types.FrameType | None) -> None:
        self.stopped_by, self._stopped_at = number, time.monotonic()
        if number == signal.SIGTERM and self._process is not None:
            self._process.send_signal(signal.SIGTERM)

    def _ask_again(self) -> None:
        """Hand a signal on that has not ended the command: it may have been sent to this process alone."""
        if self.stopped_by is not None and time.monotonic() - self._stopped_at > GRACE_S:
            assert self._process is not None
            self._process.send_signal(signal.SIGTERM)
            self._stopped_at = time.monotonic()
