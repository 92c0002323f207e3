"""The pipes that join a trial's process to its worker: one JSON object per line, in each direction.

From the worker comes at most ``{"status": ..., "cause": ...}``: stop. To the worker goes what ``train`` reports. The
end of the file says that the other side is gone. A thread reads and another writes, since Windows cannot poll pipes and
a training must never wait for a worker that is suspended.
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

GRACE_S = 30.0  # for a trial to stop by itself, before it is killed
INTERRUPTED = 75  # exit code (EX_TEMPFAIL of sysexits.h) of a trial that stopped as it was asked to, to be continued
WORKER_GONE = "its worker is gone"


class Channel:
    """A trial's end of the pipes, which are its standard input and output.

    Whatever prints from now on prints into standard error, which is the trial's log.

    Args:
        stop: Is told when the worker asks the trial to stop, or is gone.
    """

    def __init__(self, stop: StopRequest) -> None:
        self._stop = stop
        self._input = os.fdopen(os.dup(0), "rb", buffering=0)  # a buffer that a thread reads blocks the exit
        self._output = os.fdopen(os.dup(1), "w", encoding="utf-8")
        _redirect_standard_streams()
        self._to_send: SimpleQueue[str | None] = SimpleQueue()
        self._sender = threading.Thread(target=self._send_lines, daemon=True)
        self._sender.start()
        threading.Thread(target=self._listen, daemon=True).start()

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a message, without waiting for it to arrive."""
        self._to_send.put(json.dumps(message) + "\n")

    def close(self) -> None:
        """Wait until the worker has what was sent, unless it is gone or does not read."""
        self._to_send.put(None)
        self._sender.join(timeout=1.0)

    def _listen(self) -> None:
        for line in self._input:
            message = json.loads(line)
            self._stop.stop(message["status"], message["cause"])
        self._stop.stop("interrupted", WORKER_GONE)
        time.sleep(GRACE_S)
        os._exit(1)  # nobody is left to kill a trial that does not stop

    def _send_lines(self) -> None:
        while (line := self._to_send.get()) is not None:
            if not _write(self._output, line):
                return


def _redirect_standard_streams() -> None:
    """Print into standard error, and read nothing."""
    nowhere = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nowhere, 0)
    os.close(nowhere)
    sys.stdout.flush()
    os.dup2(2, 1)


def _write(stream: TextIO, line: str) -> bool:
    """Write a line. Returns whether somebody still reads there."""
    try:
        stream.write(line)
        stream.flush()
    except OSError:
        return False
    return True
