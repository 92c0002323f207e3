"""The pipes between a trial process and its worker: one JSON object per line, in each direction.

The worker sends at most one message, ``{"status": ..., "cause": ...}``, to stop the trial. The trial sends the events
that ``train`` reports. End of file means that the other process has ended. One thread reads and one writes, because
Windows cannot poll pipes and training must never wait for a suspended worker.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Mapping
from queue import SimpleQueue
from typing import Any, TextIO

from vbot_train.training.stop import StopRequest

GRACE_S = 30.0  # time for a trial to stop by itself before it is killed
INTERRUPTED = 75  # exit code (EX_TEMPFAIL in sysexits.h) of a trial that stopped on request and can be resumed
WORKER_GONE = "its worker is gone"


class Channel:
    """The trial's end of the pipes, which are its standard input and output.

    From then on, everything that the process prints goes to standard error, which is the trial's log.

    Args:
        stop: Receives a request when the worker asks the trial to stop, or when the worker has ended.
    """

    def __init__(self, stop: StopRequest) -> None:
        self._stop = stop
        self._input = os.fdopen(os.dup(0), "rb", buffering=0)  # a thread that reads a buffered stream blocks the exit
        self._output = os.fdopen(os.dup(1), "w", encoding="utf-8")
        _redirect_standard_streams()
        self._to_send: SimpleQueue[str | None] = SimpleQueue()
        self._sender = threading.Thread(target=self._send_lines, daemon=True)
        self._sender.start()
        threading.Thread(target=self._listen, daemon=True).start()

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a message without waiting until it is received."""
        self._to_send.put(json.dumps(message) + "\n")

    def close(self) -> None:
        """Wait until all messages are written, for at most one second (the worker may have ended, or may not read)."""
        self._to_send.put(None)
        self._sender.join(timeout=1.0)

    def _listen(self) -> None:
        for line in self._input:
            message = json.loads(line)
            self._stop.stop(message["status"], message["cause"])
        self._stop.stop("interrupted", WORKER_GONE)
        time.sleep(GRACE_S)
        os._exit(1)  # without a worker, nothing else kills a trial that does not stop

    def _send_lines(self) -> None:
        while (line := self._to_send.get()) is not None:
            if not _write(self._output, line):
                return


def _redirect_standard_streams() -> None:
    """Redirect standard output to standard error, and standard input to the null device."""
    nowhere = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nowhere, 0)
    os.close(nowhere)
    sys.stdout.flush()
    os.dup2(2, 1)


def _write(stream: TextIO, line: str) -> bool:
    """Write a line. Returns whether the pipe still has a reader."""
    try:
        stream.write(line)
        stream.flush()
    except OSError:
        return False
    return True
