"""The process of a trial and the worker's end of the pipes to it; ``training.channel`` is the trial's end."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from vbot_train.search.execution.fallback import LOG
from vbot_train.training.channel import GRACE_S, INTERRUPTED

MODULE = "vbot_train.training.trial"  # what a trial runs
CONTROL_C_EXIT = 0xC000013A  # exit code on Windows of a process that a console event has ended

Message = dict[str, Any]


class TrialProcess:
    """The process of a trial, whose directory already holds its config.

    Args:
        directory: The trial's.
        number: The trial's.
        module: What it runs.
    """

    def __init__(self, directory: Path, number: int, module: str = MODULE) -> None:
        self.from_env_steps: int | None = None  # where it began or continued; None before it trains
        self.state_env_steps: int | None = None  # of the newest state that it has written
        self.env_steps = 0  # trained so far, earlier lives included
        self.asked: tuple[str, str] | None = None  # status and cause that it was asked to end with
        self.disk_fault: str | None = None  # why it could not write its files any more
        self._kill_at: float | None = None  # of time.monotonic(), where it was asked to stop
        self._began = time.time()
        command = [sys.executable, "-m", module, str(directory), "--trial", str(number)]
        with (directory / LOG).open("ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, **_build_detached_options()
            )
        self._received: SimpleQueue[Message] = SimpleQueue()
        self._reader = threading.Thread(target=self._receive, daemon=True)
        self._reader.start()

    @property
    def runtime_s(self) -> float:
        """Wall-clock time since its start, including time that the host sleeps [s]."""
        return max(time.time() - self._began, 0.0)

    def stop(self, status: str, cause: str) -> None:
        """Ask the trial to stop. It is killed if it has not stopped after ``GRACE_S``."""
        if self.asked is not None:
            return
        self.asked = (status, cause)
        self._kill_at = time.monotonic() + GRACE_S
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps({"status": status, "cause": cause}).encode() + b"\n")
            self.process.stdin.flush()
        except OSError:
            pass  # it has just ended

    def has_ended(self) -> bool:
        """Check whether it has ended; kill it if its grace period is over."""
        if self._kill_at is not None and time.monotonic() > self._kill_at:
            self.process.kill()
            self.process.wait()
        if self.process.poll() is None:
            return False
        self._reader.join(timeout=1.0)  # it has sent what it will ever send
        return True

    def wait(self) -> None:
        """Wait until the process has ended."""
        while not self.has_ended():
            time.sleep(0.05)

    def read_messages(self) -> Iterator[Message]:
        """Yield the messages that have arrived since the last call."""
        while True:
            try:
                message = self._received.get_nowait()
            except Empty:
                return
            self._note(message)
            yield message

    @property
    def was_killed(self) -> bool:
        """Whether it was ended from outside, and not by its worker or by a crash of its own."""
        code = self.process.returncode
        if self.asked is not None or self.disk_fault is not None or code is None:
            return False
        if sys.platform == "win32":
            return code in (1, INTERRUPTED, CONTROL_C_EXIT)  # 1: TerminateProcess; a failure in Python leaves a result
        # By these signals a process ends that has brought itself down; by any other, somebody outside has ended it.
        crashes = {signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGTRAP}
        return code == INTERRUPTED or (code < 0 and -code not in crashes)

    @property
    def has_advanced(self) -> bool:
        """Whether it has written a newer state than the one it started from."""
        return self.state_env_steps is not None and self.state_env_steps > (self.from_env_steps or 0)

    def describe_end(self) -> str:
        """Describe how the process ended, for a trial without a result."""
        code = self.process.returncode
        if self.disk_fault is not None:
            return self.disk_fault
        if code == 0:
            return "the trial's process ended without a result, see train.log"
        if self.was_killed:
            return "the trial's process was killed" + (f" (signal {-code}); out of memory?" if code < 0 else "")
        return f"the trial's process ended with code {code}, see train.log"

    def _note(self, message: Message) -> None:
        match message["kind"]:
            case "begun":
                self.from_env_steps = self.env_steps = message["env_steps"]
            case "state":
                self.state_env_steps = message["env_steps"]
            case "update":
                self.env_steps = message["env_steps"]
            case "disk_fault":
                self.disk_fault = message["cause"]

    def _receive(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.endswith(b"\n"):  # else it was killed as it wrote
                self._received.put(json.loads(line))


def _build_detached_options() -> dict[str, Any]:
    """Return Popen options with which nothing that happens to a console (Ctrl-C, closing) reaches the process."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
    return {"start_new_session": True}
