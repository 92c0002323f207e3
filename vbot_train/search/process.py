"""A trial in training, in a process of its own."""

import csv
import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from vbot_train.search.claims import Claim
from vbot_train.search.settle import LOG, settle
from vbot_train.training.result import SEARCH_STOPPED, TrialResult

MODULE = "vbot_train.training.trial"  # what a trial runs
PROGRESS_CSV = "progress.csv"
OUT_OF_TIME = "budget_hours is spent"
TERMINATE_S = 5.0  # grace for a trial that is told to stop
OVERTIME_S = 30.0  # grace for a trial whose own clock should have stopped it


class TrialProcess:
    """The process of a claimed trial. Its directory holds the config already.

    Args:
        claim: The trial.
    """

    def __init__(self, claim: Claim) -> None:
        self.claim = claim
        self.evaluations = 0  # held-out evaluations that it has told of
        self._asked: tuple[str, str] | None = None  # status and cause it was told to end with
        self._size = 0  # of the progress file when it was read last
        self._rows_seen = 0
        self._began = time.time()
        minutes = claim.candidate.config["search"]["trial_minutes"]
        self._overtime = None if minutes is None else time.monotonic() + 60 * minutes + OVERTIME_S
        command = [sys.executable, "-m", MODULE, str(claim.directory)]
        command += ["--trial", str(claim.trial.number), "--parent", str(os.getpid())]
        with (claim.directory / LOG).open("wb") as output:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)

    @property
    def lived_s(self) -> float:
        """Time since its start, the host's sleep included [s]."""
        return max(time.time() - self._began, 0.0)

    @property
    def was_asked(self) -> bool:
        """Whether the search told it to end."""
        return self._asked is not None

    def has_ended(self) -> bool:
        """Whether it has ended; one that overruns its limit by far is made to."""
        if self._overtime is not None and time.monotonic() > self._overtime:
            minutes = self.claim.candidate.config["search"]["trial_minutes"]
            self._asked = ("timeout", f"longer than search.trial_minutes={minutes}, and did not stop by itself")
            self.process.kill()
            self.process.wait()
        return self.process.poll() is not None

    def prune(self) -> None:
        """Ask it to end as pruned."""
        self._asked = ("pruned", "the pruner stopped it")
        self.process.send_signal(signal.SIGUSR1)

    def interrupt(self, cause: str) -> None:
        """Ask it to end; of a spent budget it knows the signal, and writes that down."""
        self._asked = ("interrupted", cause)
        self.process.send_signal(signal.SIGUSR2 if cause == OUT_OF_TIME else SEARCH_STOPPED)

    def abandon(self) -> None:
        """Write down that it was stopped, once it was killed by a search that ends: it did not bring that down."""
        self._asked = ("interrupted", "the search was stopped")
        self.result()

    def wait_or_kill(self, until: float) -> None:
        """Wait for the end it was asked for, until that time of ``time.monotonic()``."""
        try:
            self.process.wait(max(until - time.monotonic(), 0.0))
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def new_rows(self) -> list[dict[str, str]]:
        """Whole rows of its progress that were not read before."""
        path = progress_file(self.claim.directory, self.claim.candidate.config["seed"])
        try:
            size = path.stat().st_size
        except FileNotFoundError:
            return []
        if size == self._size:
            return []
        self._size = size
        rows = whole_rows(path)
        new = rows[self._rows_seen :]
        self._rows_seen = len(rows)
        return new

    def result(self) -> TrialResult:
        """What it left; where it left nothing, how it ended."""
        status, cause = self._asked or ("failed", self._how_it_ended())
        config = self.claim.candidate.config
        return settle(
            self.claim.directory,
            status,
            cause,
            trial=self.claim.trial.number,
            seed=config["seed"],
            wall_time_s=self.lived_s,
        )

    def _how_it_ended(self) -> str:
        code = self.process.returncode
        if code == 0:
            return "the trial's process ended without a result, see train.log"
        if code == -signal.SIGKILL:
            return "the trial's process was killed (signal 9); out of memory?"
        return f"the trial's process ended with code {code}, see train.log"


def progress_file(directory: Path, seed: int) -> Path:
    """The progress of a trial; of one on several seeds, that of the first."""
    path = directory / f"seed_{seed}" / PROGRESS_CSV
    return path if path.exists() else directory / PROGRESS_CSV


def whole_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file that is being written, but for one that is half there."""
    text, _, _ = path.read_text(encoding="utf-8").rpartition("\n")
    return list(csv.DictReader(io.StringIO(text)))
