"""Ctrl-C and SIGTERM: the first asks the search to stop, the second ends it at once."""

import os
import signal
import subprocess
import types


class Stop:
    """Whether the search was asked to stop. Signals come here from when this is made to the end of the process."""

    def __init__(self) -> None:
        self.number: int | None = None  # the signal that asked
        self.processes: list[subprocess.Popen[bytes]] = []  # of the trials in training
        self._at_once = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._receive)

    def at_once_from_now(self) -> None:
        """There is nothing left to stop gently: the next signal, even if it is the first, ends the process."""
        self._at_once = True

    def _receive(self, number: int, frame: types.FrameType | None) -> None:
        if self.number is not None or self._at_once:
            for process in self.processes:
                process.kill()
            os._exit(128 + number)
        self.number = number
