"""The signals that ask a process to end: Ctrl-C, SIGTERM, a terminal that closes; on Windows also Ctrl-Break."""

import os
import signal
import sys
import types
from collections.abc import Callable

Handler = Callable[[int, types.FrameType | None], None]


def handle_stop_signals(handler: Handler) -> None:
    """Have a handler called for each of them, but for SIGHUP under nohup.

    The first process of a container hears of no signal that it does not handle. On Windows SIGTERM reaches no handler.
    """
    signal.signal(signal.SIGINT, handler)
    signal.signal(signal.SIGTERM, handler)
    if sys.platform == "win32":
        signal.signal(signal.SIGBREAK, handler)  # Ctrl-Break, a console that closes, a user who logs off
    elif signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        signal.signal(signal.SIGHUP, handler)


def quit_at_once(number: int, frame: types.FrameType | None) -> None:
    """End the process: there is nothing to put in order, or no time for it."""
    os._exit(128 + number)
