"""The loop that keeps ``workers`` trial processes busy: ask, spawn, watch, tell."""

import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import optuna
from optuna.trial import TrialState

from vbot_train.result import FILE_NAME, ResultError, TrialResult
from vbot_train.search.display import Display
from vbot_train.search.space import Candidate

log = logging.getLogger(__name__)

POLL_S = 0.2
TERMINATE_S = 5.0  # grace for a trial that is told to stop
HOPELESS = 3  # as many equal failures in a row at the start stop the search


class HopelessError(Exception):
    """Every trial so far failed in the same way."""


@dataclass(slots=True)
class TrialProcess:
    """A trial in training, in a process of its own."""

    trial: optuna.Trial
    directory: Path
    candidate: Candidate
    process: subprocess.Popen[bytes]
    started: float = field(default_factory=time.monotonic)


class Loop:
    """Runs trials until there are no more.

    Args:
        study: The study.
        directory: Its directory.
        next_candidate: Asks the study for a trial and composes it; None when there are no more.
        metric: What the study optimizes.
        workers: Trial processes at a time.
        stopped: Asked every now and then; True ends the loop.
        record: Writes a trial's record into its new directory, by number and configuration.
        display: Told of everything that happens.
    """

    def __init__(
        self,
        study: optuna.Study,
        directory: Path,
        next_candidate: Callable[[], tuple[optuna.Trial, Candidate] | None],
        *,
        metric: str,
        workers: int,
        stopped: Callable[[], bool],
        record: Callable[[Path, int, Candidate], None],
        display: Display,
    ) -> None:
        self._study = study
        self._directory = directory
        self._next_candidate = next_candidate
        self._metric = metric
        self._workers = workers
        self._stopped = stopped
        self._record = record
        self._display = display
        self._running: list[TrialProcess] = []
        self._finished: list[TrialResult] = []

    def run(self) -> None:
        """Run to the end. However it ends, no trial process is left behind, and every trial is accounted for.

        Raises:
            HopelessError: The first trials all failed in the same way.
        """
        with self._no_trial_left_behind():
            more = True
            while (more or self._running) and not self._stopped():
                while more and len(self._running) < self._workers and not self._stopped():
                    more = self._start_next()
                for running in list(self._running):
                    self._display.update(running.trial.number, running.directory)
                    if running.process.poll() is not None:
                        self._finish(running)
                        self._stop_if_hopeless()
                time.sleep(POLL_S)

    def _start_next(self) -> bool:
        drawn = self._next_candidate()
        if drawn is None:
            return False
        trial, candidate = drawn
        try:
            running = self._spawn(trial, candidate)
        except BaseException as error:
            cause = f"could not be started, {type(error).__name__}: {error}"
            result = TrialResult(status="failed", trial=trial.number, seed=candidate.config["seed"], cause=cause)
            result.save(self._trial_directory(trial))
            self._study.tell(trial, state=TrialState.FAIL)
            raise
        self._running.append(running)
        self._display.start(trial.number, candidate)
        return True

    def _spawn(self, trial: optuna.Trial, candidate: Candidate) -> TrialProcess:
        directory = self._trial_directory(trial)
        directory.mkdir()
        self._record(directory, trial.number, candidate)
        command = [sys.executable, "-m", "vbot_train.trial", str(directory)]
        command += ["--trial", str(trial.number), "--parent", str(os.getpid())]
        with (directory / "train.log").open("wb") as output:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
        return TrialProcess(trial, directory, candidate, process)

    def _trial_directory(self, trial: optuna.Trial) -> Path:
        return self._directory / "trials" / f"{trial.number:03d}"

    def _finish(self, running: TrialProcess, status: str = "failed") -> None:
        """Tell the study what came of a trial whose process has ended; ``status`` if it left no result."""
        try:
            result = TrialResult.load(running.directory)
        except ResultError as error:
            result = self._stand_in(running, status, error)
        value = result.objective(self._metric)
        running.trial.set_user_attr("status", result.status)
        state = TrialState.FAIL if value is None else TrialState.COMPLETE
        self._study.tell(running.trial, value, state=state)
        self._running.remove(running)
        self._finished.append(result)
        self._display.finish(running.trial.number, running.candidate, result, value)

    def _stand_in(self, running: TrialProcess, status: str, error: ResultError) -> TrialResult:
        """The result of a trial that could not write one itself. What it left is kept beside it."""
        path = running.directory / FILE_NAME
        if path.exists():
            path.rename(path.with_suffix(".broken"))
        exit_code = running.process.returncode
        cause = str(error) if exit_code == 0 else f"the trial's process ended with code {exit_code}, see train.log"
        result = TrialResult(
            status=status,
            trial=running.trial.number,
            seed=running.candidate.config["seed"],
            wall_time_s=round(time.monotonic() - running.started, 3),
            cause="the search was stopped" if status == "interrupted" else cause,
        )
        result.save(running.directory)
        return result

    def _stop_if_hopeless(self) -> None:
        causes = [result.cause if result.status == "failed" else None for result in self._finished]
        if len(causes) == HOPELESS and causes[0] is not None and len(set(causes)) == 1:
            raise HopelessError(f"the first {HOPELESS} trials failed in the same way: {causes[0]}")

    @contextmanager
    def _no_trial_left_behind(self) -> Iterator[None]:
        try:
            yield
        finally:
            for running in self._running:
                running.process.terminate()
            for running in self._running:
                try:
                    running.process.wait(TERMINATE_S)
                except subprocess.TimeoutExpired:
                    running.process.kill()
                    running.process.wait()
            for running in list(self._running):
                self._finish(running, status="interrupted")
