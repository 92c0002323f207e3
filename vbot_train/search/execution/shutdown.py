"""Orderly shutdown: the first Ctrl-C, SIGTERM or SIGHUP asks the search to stop, the second one ends it at once."""

import os
import types
from collections.abc import Iterator
from contextlib import contextmanager

from vbot_train.search.execution.trial_process import TrialProcess
from vbot_train.signals import handle_stop_signals
from vbot_train.terminal import show_cursor


class ShutdownRequest:
    """Whether the search was asked to stop. It handles the stop signals from its creation on."""

    def __init__(self) -> None:
        self.number: int | None = None  # the signal that asked
        self.trials: list[TrialProcess] = []  # in training
        self._gently = False
        handle_stop_signals(self._receive)

    @contextmanager
    def stop_gently(self) -> Iterator[None]:
        """Shut down in order within this context. Outside of it no trial runs, and a signal ends the process."""
        self._gently = True
        try:
            yield
        finally:
            self._gently = False

    def _receive(self, number: int, frame: types.FrameType | None) -> None:
        if self.number is not None or not self._gently:
            for trial in self.trials:
                trial.process.kill()  # it can be continued from its last state
            show_cursor()
            os._exit(128 + number)
        self.number = number
