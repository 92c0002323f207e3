"""The signals that ask a process to end: Ctrl-C, SIGTERM, a terminal that closes."""

import os
import signal
import types
from collections.abc import Callable

Handler = Callable[[int, types.FrameType | None], None]


def handle_stop_signals(handler: Handler) -> None:
    """Have a handler called for each of them, but for SIGHUP under nohup.

    The first process of a container hears of no signal that it does not handle.
    """
    signal.signal(signal.SIGINT, handler)
    signal.signal(signal.SIGTERM, handler)
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # Windows has none
        signal.signal(signal.SIGHUP, handler)


def quit_at_once(number: int, frame: types.FrameType | None) -> None:
    """End the process: there is nothing to put in order, or no time for it."""
    os._exit(128 + number)
