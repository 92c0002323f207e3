"""Handling of stop signals: Ctrl-C (SIGINT), SIGTERM, a closed terminal (SIGHUP), and Ctrl-Break on Windows."""

import os
import signal
import sys
import types
from collections.abc import Callable

Handler = Callable[[int, types.FrameType | None], None]


def handle_stop_signals(handler: Handler) -> None:
    """Register a handler for all stop signals, except SIGHUP if nohup ignores it.

    Without a handler, the first process of a container (PID 1) ignores these signals. On Windows, SIGTERM
    reaches no handler.
    """
    signal.signal(signal.SIGINT, handler)
    signal.signal(signal.SIGTERM, handler)
    if sys.platform == "win32":
        signal.signal(signal.SIGBREAK, handler)  # Ctrl-Break, console closed, user logged off
    elif signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        signal.signal(signal.SIGHUP, handler)


def quit_at_once(number: int, frame: types.FrameType | None) -> None:
    """Exit immediately, without cleanup: there is nothing to clean up, or no time."""
    os._exit(128 + number)
