"""The loop that keeps ``workers`` trial processes busy: claim, spawn, watch, tell."""

import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from vbot_train.search.claims import Claim, Claims
from vbot_train.search.display import Display
from vbot_train.search.process import OUT_OF_TIME, TERMINATE_S, TrialProcess
from vbot_train.search.settle import without_numbers
from vbot_train.search.signals import Stop
from vbot_train.training.result import TrialResult

POLL_S = 0.2
CLAIM_AGAIN_S = 2.0  # between two looks for work that another loop may have left
HOPELESS = 3  # as many equal failures in a row at the start stop the search


class HopelessError(Exception):
    """Every trial so far ended in the same way, and not well."""


class Loop:
    """Runs trials until there are no more.

    Args:
        claims: Hands out trials and takes their results.
        metric: What the study optimizes.
        workers: Trial processes at a time.
        stop: Whether the search was asked to stop.
        record: Writes a claimed trial's record into its new directory.
        display: Told of everything that happens.
    """

    def __init__(
        self,
        claims: Claims,
        *,
        metric: str,
        workers: int,
        stop: Stop,
        record: Callable[[Claim], None],
        display: Display,
    ) -> None:
        self._claims = claims
        self._metric = metric
        self._workers = workers
        self._stop = stop
        self._record = record
        self._display = display
        self._running: list[TrialProcess] = []
        self._causes: list[str | None] = []  # of the trials that have ended; None of a good end
        self._look_again = 0.0  # when to ask for work again
        self._others_train = False  # whether other loops did when there was no work
        self._deadline: float | None = None  # of time.time(), for the budget is spent while the host sleeps
        self._has_forecast = False

    def run(self) -> None:
        """Run to the end. However it ends, no trial process is left behind, and every trial is accounted for.

        Raises:
            HopelessError: The first trials all ended in the same bad way.
            ConfigError: No feasible point was found.
        """
        with self._no_trial_left_behind():
            while not self._must_stop():
                self._start_trials()
                if not self._running and not self._others_train:
                    break
                for running in list(self._running):
                    self._watch(running)
                time.sleep(POLL_S)

    def _must_stop(self) -> bool:
        if self._deadline is not None and time.time() > self._deadline:
            self._claims.out_of_time = True
            return True
        return self._stop.number is not None

    def _start_trials(self) -> None:
        """Fill the free workers; where nothing was to be had, ask again in a while: another loop's trial may fail."""
        while len(self._running) < self._workers and self._stop.number is None and time.monotonic() >= self._look_again:
            claim = self._claims.claim()
            self._note_deadline()
            if claim is None:
                self._others_train = self._claims.others_train
                self._look_again = time.monotonic() + CLAIM_AGAIN_S
            else:
                self._start(claim)

    def _note_deadline(self) -> None:
        left_s = self._claims.left_s()
        self._deadline = None if left_s is None else time.time() + left_s

    def _start(self, claim: Claim) -> None:
        """Start a claimed trial. What fails here ends the search, and the trial is owed to whoever resumes it."""
        claim.directory.mkdir(parents=True)
        self._record(claim)
        self._display.start(claim.trial.number, claim.candidate)
        if claim.history is not None:
            self._take_over(claim, claim.history)
            return
        running = TrialProcess(claim)
        self._running.append(running)
        self._stop.trials.append(running)

    def _take_over(self, claim: Claim, history: Path) -> None:
        """Copy a finished trial of just this configuration, instead of training it again."""
        for source in [*history.glob("progress.csv"), *history.glob("checkpoints"), *history.glob("seed_*")]:
            copy = shutil.copytree if source.is_dir() else shutil.copy2
            copy(source, claim.directory / source.name)
        result = replace(TrialResult.load(history), trial=claim.trial.number)
        result.save(claim.directory)
        self._claims.tell(claim, result, 0.0)
        self._show_end(claim, result)

    def _watch(self, running: TrialProcess) -> None:
        has_ended = running.has_ended()  # asked first: what it wrote before its end is read below
        for row in running.new_rows():
            self._display.update(running.claim.trial.number, row)
            prune = self._relay(running, row)
            if prune and not has_ended:
                running.prune()
        if has_ended and self._stop.number is None:  # else Ctrl-C may have ended it before it could listen
            self._finish(running)
            self._stop_if_hopeless()

    def _relay(self, running: TrialProcess, row: dict[str, str]) -> bool:
        """Hand a held-out value on to the study. Returns whether its pruner ends the trial; never at the last one."""
        if not any(value for key, value in row.items() if key.startswith("selection_")):
            return False
        running.evaluations += 1
        if not (value := row.get(f"selection_{self._metric}")):
            return False
        prune = self._claims.report(running.claim, running.evaluations, float(value))
        return prune and running.evaluations < evaluations_of(running.claim.candidate.config)

    def _finish(self, running: TrialProcess) -> None:
        """Tell the study of a trial that has ended, then the user."""
        result = running.result()
        killed = result.status == "interrupted" and not running.was_asked
        self._claims.tell(running.claim, result, running.lived_s, killed=killed)
        self._running.remove(running)
        self._stop.trials.remove(running)
        self._causes.append(None if result.status in ("completed", "pruned") else f"{result.status}: {result.cause}")
        self._show_end(running.claim, result)
        if not self._has_forecast and self._causes.count(None) >= self._workers:
            fit = self._claims.forecast()
            self._has_forecast = fit is not None
            self._display.forecast(fit)

    def _show_end(self, claim: Claim, result: TrialResult) -> None:
        value = result.objective(self._metric)
        self._display.finish(claim.trial.number, claim.candidate, result, value, self._claims.done())
        self._look_again = 0.0

    def _stop_if_hopeless(self) -> None:
        """Stop if the study's first trials all ended badly and alike."""
        if not is_hopeless(self._causes) or self._claims.has_completed():
            return
        where = self._claims.trial_directory(0).parent
        raise HopelessError(
            f"the first {HOPELESS} trials ended alike, so the search stops: {self._causes[-1]}"
            f"; train.log and error.txt in {where} say more"
        )

    @contextmanager
    def _no_trial_left_behind(self) -> Iterator[None]:
        try:
            yield
        finally:
            if self._running and self._stop.number is not None:
                self._display.stopping(len(self._running))
            for running in self._running:
                running.interrupt(self._why())
            patience = time.monotonic() + TERMINATE_S
            for running in self._running:
                running.wait_or_kill(patience)
            for running in list(self._running):
                self._finish(running)

    def _why(self) -> str:
        """Why trials are interrupted."""
        if self._stop.number is not None:
            return "the search was stopped"
        return OUT_OF_TIME if self._claims.out_of_time else "the search ended before it"


def is_hopeless(causes: Sequence[str | None]) -> bool:
    """Whether all trials so far ended badly and alike, and are just as many as it takes to say so.

    Args:
        causes: Why each trial that has ended did so, None for a good end. Numbers in them may differ.
    """
    alike = {None if cause is None else without_numbers(cause) for cause in causes}
    return len(causes) == HOPELESS and len(alike) == 1 and None not in alike


def evaluations_of(config: Mapping[str, Any]) -> int:
    """Held-out evaluations that a run makes: never more than it has updates."""
    training = config["training"]
    updates = training["env_steps"] // (training["num_envs"] * config["ppo"]["rollouts"])
    return int(min(training["evaluations"], updates))
