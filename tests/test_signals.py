"""The signals that ask a process to end, on each system."""

import signal
from types import SimpleNamespace

import pytest

from vbot_train import signals


@pytest.fixture
def heard(monkeypatch):
    """``heard("win32")``: the numbers of the signals that are handled there."""

    def on(platform, hangup=signal.SIG_DFL):
        numbers = []
        own = {"SIGBREAK": 21} if platform == "win32" else {"SIGHUP": 1, "getsignal": lambda number: hangup}
        common = {name: getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIG_IGN")}
        stand_in = SimpleNamespace(signal=lambda number, handler: numbers.append(number), **common, **own)
        monkeypatch.setattr(signals, "signal", stand_in)
        monkeypatch.setattr("sys.platform", platform)
        signals.handle_stop_signals(signals.quit_at_once)
        return numbers

    return on


@pytest.mark.parametrize(("platform", "closes"), [("linux", 1), ("darwin", 1), ("win32", 21)])
def test_a_terminal_or_a_console_that_closes_is_heard(heard, platform, closes):
    assert heard(platform) == [signal.SIGINT, signal.SIGTERM, closes]


def test_a_terminal_that_closes_is_not_heard_under_nohup(heard):
    assert heard("linux", hangup=signal.SIG_IGN) == [signal.SIGINT, signal.SIGTERM]
