"""The worker pool: it keeps a number of trial processes busy until the search is complete."""

import functools
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from vbot_train.config.schema import Config
from vbot_train.search.display import Display
from vbot_train.search.execution.fallback import mask_numbers
from vbot_train.search.execution.shutdown import ShutdownRequest
from vbot_train.search.execution.trial_process import Message, TrialProcess
from vbot_train.search.execution.trial_queue import TrialQueue
from vbot_train.search.execution.trial_reporter import QueuedTrial
from vbot_train.study.accounting import Identity, identify
from vbot_train.study.layout import is_recorded
from vbot_train.training.progress import PROGRESS_CSV, read_held_out_values
from vbot_train.training.result import TrialResult
from vbot_train.training.run_directory import CHECKPOINTS

POLL_S = 0.2
TAKE_AGAIN_S = 2.0  # another worker may be interrupted, and its trials become available
PAUSED = "others are better at this rung"
OUT_OF_TIME = "budget_hours is spent"
HOPELESS = 3  # as many equal failures in a row at the start stop the search


StartProcess = Callable[[Path, int], TrialProcess]


class HopelessError(Exception):
    """Every configuration so far has failed in the same way."""


class RunningTrial:
    """A trial of this worker with its process."""

    def __init__(self, queued: QueuedTrial, process: TrialProcess) -> None:
        self.queued = queued
        self.process = process

    @functools.cached_property
    def config(self) -> Config:
        """Its configuration; validated once, as ``is_overdue`` is asked several times a second."""
        return self.queued.candidate.validate()

    def is_overdue(self) -> bool:
        """Check whether all its lives together exceed ``search.trial_minutes``."""
        minutes = self.config.search.trial_minutes
        return minutes is not None and self.queued.earlier_s + self.process.runtime_s > 60 * minutes


class WorkerPool:
    """Runs trials until none is left.

    Args:
        queue: The trial queue of the study.
        metric: What the study optimizes.
        workers: Trial processes at a time.
        stop: Whether the search was asked to stop.
        record: Writes a taken trial's record into its new directory.
        display: Told of everything that happens.
        start_process: Starts the process of the trial of that number, in its directory.
    """

    def __init__(
        self,
        queue: TrialQueue,
        *,
        metric: str,
        workers: int,
        stop: ShutdownRequest,
        record: Callable[[QueuedTrial], None],
        display: Display,
        start_process: StartProcess = TrialProcess,
    ) -> None:
        self._queue = queue
        self._metric = metric
        self._workers = workers
        self._stop = stop
        self._record = record
        self._display = display
        self._start_process = start_process
        self._running: list[RunningTrial] = []
        self._causes: dict[Identity, str | None] = {}  # why a configuration ended badly; None of a good end
        self._trained = 0  # trials that have ended well
        self._look_again = 0.0  # when to ask for work again
        self._others_train = False  # whether other workers did when there was no work
        self._deadline: float | None = None  # of time.time(), for the budget is spent while the host sleeps
        self._has_forecast = False

    def run(self) -> None:
        """Run until no trial is left. No trial process remains afterwards, and the study knows of every trial.

        Raises:
            HopelessError: The first trials all ended in the same bad way.
            ConfigError: No feasible point was found.
            OSError: A trial cannot write its files: the disk is full.
        """
        with self._end_all_trials():
            while not self._must_stop():
                self._start_trials()
                if not self._running and not self._others_train:
                    break
                for running in list(self._running):
                    self._watch(running)
                time.sleep(POLL_S)

    def _must_stop(self) -> bool:
        if self._deadline is not None and time.time() > self._deadline:
            self._queue.out_of_time = True
            return True
        return self._stop.number is not None

    def _start_trials(self) -> None:
        """Start trials on the free slots. If none was left, ask again later: another worker may be interrupted."""
        while len(self._running) < self._workers and self._stop.number is None and time.monotonic() >= self._look_again:
            queued = self._queue.take()
            self._note_deadline()
            if queued is None:
                self._others_train = self._queue.others_train
                self._look_again = time.monotonic() + TAKE_AGAIN_S
            else:
                self._start(queued)

    def _note_deadline(self) -> None:
        left_s = self._queue.compute_left_s()
        self._deadline = None if left_s is None else time.time() + left_s

    def _start(self, queued: QueuedTrial) -> None:
        """Start or continue a trial. An error here ends the search, and the trial is recovered when it is resumed."""
        queued.directory.mkdir(parents=True, exist_ok=True)
        if not is_recorded(queued.directory):
            self._record(queued)
        self._display.start(queued.trial.number, queued.candidate)
        if queued.history is not None:
            self._take_over(queued, queued.history)
            return
        running = RunningTrial(queued, self._start_process(queued.directory, queued.trial.number))
        self._running.append(running)
        self._stop.trials.append(running.process)

    def _take_over(self, queued: QueuedTrial, history: Path) -> None:
        """Copy the result of a finished trial of the same configuration instead of training it again."""
        copy_run(history, queued.directory)
        result = replace(TrialResult.load(history), trial=queued.trial.number)
        result.save(queued.directory)
        for evaluation, value in enumerate(read_held_out_values(queued.directory, self._metric), start=1):
            self._queue.reporter.report(queued, evaluation, value)  # so that it is compared at the rungs too
        self._queue.reporter.tell(queued, result, 0.0, env_steps=result.env_steps)
        self._show_end(queued, result)

    def _watch(self, running: RunningTrial) -> None:
        has_ended = running.process.has_ended()  # asked first: what it sent before its end is read below
        self._read_messages(running)
        if has_ended:
            self._finish(running)
            if running.process.disk_fault is not None:
                raise OSError(f"{running.queued.directory}: {running.process.disk_fault}")
            self._stop_if_hopeless()
        elif running.is_overdue():
            minutes = running.config.search.trial_minutes
            running.process.stop("timeout", f"longer than search.trial_minutes={minutes}")

    def _read_messages(self, running: RunningTrial) -> None:
        for message in running.process.read_messages():
            match message["kind"]:
                case "begun":
                    self._queue.reporter.note_start(running.queued, message["env_steps"])
                case "update":
                    self._display.update(running.queued.trial.number, message["env_steps"])
                    self._report(running, message)

    def _report(self, running: RunningTrial, message: Message) -> None:
        """Report a held-out value to the study, whose scheduler may pause the trial."""
        value, evaluation = message.get(f"selection_{self._metric}"), message.get("evaluation")
        if evaluation is not None and self._queue.reporter.report(running.queued, evaluation, value):
            running.process.stop("paused", PAUSED)

    def _finish(self, running: RunningTrial) -> None:
        """Tell the study and the user that a trial has ended."""
        self._running.remove(running)
        self._stop.trials.remove(running.process)
        result = self._queue.reporter.end(running.queued, running.process)
        if result is None:
            self._show_pause(running)
            self._look_again = 0.0
            return
        self._note_end(running.queued, result)
        self._show_end(running.queued, result)
        if not self._has_forecast and self._trained >= self._workers:
            fit = self._queue.forecast()
            self._has_forecast = fit is not None
            self._display.forecast(fit)

    def _show_pause(self, running: RunningTrial) -> None:
        process, number = running.process, running.queued.trial.number
        if process.asked is not None and process.asked[0] == "paused":
            self._display.pause(number, process.env_steps)
            self._causes[identify(running.queued.candidate.params)] = None  # it trained well enough to be compared
            self._display.show_total(self._queue.count_done(), self._queue.find_best())
        else:
            self._display.put_back(number, process.env_steps, process.state_env_steps or process.from_env_steps or 0)

    def _note_end(self, queued: QueuedTrial, result: TrialResult) -> None:
        """Record how a configuration ended; it counts as failed while all of its seeds have failed."""
        is_good = result.status == "completed"
        self._trained += is_good
        key, cause = identify(queued.candidate.params), f"{result.status}: {result.cause}"
        self._causes[key] = None if is_good or self._causes.get(key, cause) is None else cause

    def _show_end(self, queued: QueuedTrial, result: TrialResult) -> None:
        value = result.get_objective(self._metric)
        self._display.finish(queued.trial.number, queued.candidate, result, value)
        self._display.show_total(self._queue.count_done(), self._queue.find_best())
        self._look_again = 0.0

    def _stop_if_hopeless(self) -> None:
        """Stop if the first configurations of the study all failed in the same way."""
        causes = list(self._causes.values())
        if not is_hopeless(causes) or self._queue.has_completed():
            return
        where = self._queue.locate_trial_directory(0).parent
        raise HopelessError(
            f"the first {HOPELESS} trials ended alike, so the search stops: {causes[-1]}"
            f"; train.log and error.txt in {where} say more"
        )

    @contextmanager
    def _end_all_trials(self) -> Iterator[None]:
        try:
            yield
        finally:
            if self._running and self._stop.number is not None:
                self._display.report_stopping(len(self._running))
            for running in self._running:
                running.process.stop("interrupted", self._explain_interruption())
            for running in list(self._running):
                running.process.wait()
                self._read_messages(running)
                self._finish(running)

    def _explain_interruption(self) -> str:
        """Return the reason for which trials are interrupted."""
        if self._stop.number is not None:
            return "the search was stopped"
        return OUT_OF_TIME if self._queue.out_of_time else "the search ended before it"


def copy_run(source: Path, target: Path) -> None:
    """Copy a finished run without its result. May be repeated: a killed worker may have copied a part."""
    for path in [*source.glob(PROGRESS_CSV), *source.glob(CHECKPOINTS), *source.glob("seed_*")]:
        if path.is_dir():
            shutil.copytree(path, target / path.name, dirs_exist_ok=True)
        else:
            shutil.copy2(path, target / path.name)


def is_hopeless(causes: Sequence[str | None]) -> bool:
    """Check whether exactly ``HOPELESS`` configurations have ended, and all failed in the same way.

    Args:
        causes: Why each that has ended did so, None for a good end. Numbers in them may differ.
    """
    alike = {None if cause is None else mask_numbers(cause) for cause in causes}
    return len(causes) == HOPELESS and len(alike) == 1 and None not in alike
