"""One search of recorded results, through the product's own proposals, queue, rungs and promotions: see replay.py."""

import statistics
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from hydra import compose, initialize_config_dir
from optuna.study import StudyDirection
from recorded import Cell, Recorded, TableSpace

from vbot_train.config.composition import CONF_DIR
from vbot_train.config.schema import Config
from vbot_train.config.validation import compose_validated
from vbot_train.search.execution.trial_queue import TrialQueue
from vbot_train.search.execution.trial_reporter import QueuedTrial
from vbot_train.search.space.proposals import SampledProposals
from vbot_train.search.space.samplers import build_sampler
from vbot_train.study.rungs import NO_RUNGS, Rungs, build_rungs
from vbot_train.training.result import TrialResult

METRIC = "episode_reward_mean"
STOCK = "optuna's defaults"
CONFIRM_SEEDS = 3


@dataclass(frozen=True)
class Way:
    """A way to search."""

    method: str
    scheduler: str = "none"
    settings: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.method if self.scheduler == "none" else f"{self.method} + {self.scheduler}"


class NoLock:
    """The lock of the only worker there is."""

    name = "replay-0-0"

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Exclude nobody."""
        yield

    def is_alive(self, name: str | None) -> bool:
        """Only this worker is."""
        return name == self.name

    def shares_host(self) -> bool:
        """With nobody."""
        return False


@dataclass
class Found:
    """What a search has seen, and what it has spent."""

    finals: dict[Cell, list[float]]
    at_rung: dict[Cell, tuple[int, float]]
    spent: float = 0.0  # full trainings

    def pick(self) -> Cell | None:
        """The best cell by its mean final value, or by the value at its highest rung."""
        if self.finals:
            return max(self.finals, key=lambda cell: statistics.fmean(self.finals[cell]))
        return max(self.at_rung, key=lambda cell: self.at_rung[cell], default=None)

    def confirm(self, recorded: Recorded, count: int, seed: int) -> Cell | None:
        """The best of so many cells by the mean of new trainings, as a search confirms its best before it picks one.

        The new trainings of a cell are the same in every search with this seed; one that diverges rules its cell out.
        """
        best = sorted(self.finals, key=lambda cell: statistics.fmean(self.finals[cell]), reverse=True)[:count]
        means = {}
        for cell in best:
            random = np.random.default_rng([seed, recorded.cells.index(cell)])
            curves = [recorded.observe(cell, random) for _ in range(CONFIRM_SEEDS)]
            if all(len(curve) == recorded.length for curve in curves):
                means[cell] = statistics.fmean(curve[-1] for curve in curves)
        return max(means, key=lambda cell: means[cell], default=self.pick())


def search(
    recorded: Recorded, way: Way, budgets: Sequence[int], repetition: int, evaluations: int, confirmed: int
) -> list[tuple[float, float]]:
    """Search once. Returns at each budget the score of the pick, and that of the pick among so many confirmed ones."""
    found, scores = Found({}, {}), []
    steps = _search(recorded, way, repetition, evaluations, found)
    for budget in budgets:
        while found.spent < budget and next(steps, None) is not None:
            pass
        after = found.confirm(recorded, confirmed, repetition)
        scores.append((recorded.score(found.pick()), recorded.score(after)))
    return scores


def _search(recorded: Recorded, way: Way, repetition: int, evaluations: int, found: Found) -> Iterator[float]:
    """Take trial after trial; yields after each."""
    draws: dict[Cell, int] = defaultdict(int)
    seeds = np.random.SeedSequence([repetition, *recorded.name.encode()])
    seed = int(seeds.generate_state(1)[0])

    def observe(cell: Cell) -> list[float]:
        """Draw the next training of a cell: the n-th one is the same in every search of this repetition."""
        draws[cell] += 1
        return recorded.observe(cell, np.random.default_rng([seed, draws[cell], recorded.cells.index(cell)]))

    if way.method == STOCK:
        yield from _search_stock(recorded, seed, observe, found)
        return
    queue, rungs = build_queue(recorded, way, seed, evaluations)
    trainings: dict[int, Training] = {}
    while (queued := queue.take()) is not None:
        number, cell = queued.trial.number, tuple(queued.candidate.params[key] for key in recorded.keys)
        if number not in trainings:
            trainings[number] = Training(cell, observe(cell), recorded.length, rungs)
        before = trainings[number].done
        trainings[number].go_on(queue, queued, found)
        found.spent += trainings[number].done - before
        yield found.spent


@dataclass
class Training:
    """One recorded training of a search, which can be paused and go on."""

    cell: Cell
    curve: list[float]  # as long as it was recorded; shorter if it diverged
    length: int  # of a curve that did not
    rungs: Rungs
    done: float = 0.0  # share of the training

    def go_on(self, queue: TrialQueue, queued: QueuedTrial, found: Found) -> None:
        """Train to the end, or until the training is paused."""
        total = self.rungs.evaluations_per_trial
        ends = {k: round(k * self.length / total) for k in range(1, total)}
        values = {k: self.curve[end - 1] for k, end in ends.items() if end <= len(self.curve)}
        for evaluation in range(round(self.done * total) + 1, max(values, default=0) + 1):
            rung = self.rungs.find_rung(evaluation)
            if rung is not None:
                highest = found.at_rung.get(self.cell, (0, 0.0))
                found.at_rung[self.cell] = max(highest, (rung, self.rungs.find_best(values, rung)))
            if len(self.rungs) and queue.reporter.report(queued, evaluation, values[evaluation]):
                queue.reporter.put_back(queued.trial, "", 0.0, 0, "paused", killed=False)
                self.done = evaluation / total
                return
        if len(self.curve) < self.length:
            self.done = (len(self.curve) + 1) / self.length
            complete(queue, queued, "diverged", None)
            return
        self.done = 1.0
        complete(queue, queued, "completed", self.curve[-1])
        found.finals.setdefault(self.cell, []).append(self.curve[-1])


def complete(queue: TrialQueue, queued: QueuedTrial, status: str, value: float | None) -> None:
    """Tell the study how a trial has ended."""
    metrics = {} if value is None else {METRIC: value}
    queue.reporter.complete(queued.trial, TrialResult(status, queued.trial.number, 0, [0], metrics=metrics))


def build_queue(recorded: Recorded, way: Way, seed: int, evaluations: int) -> tuple[TrialQueue, Rungs]:
    """The product's own queue, sampler and rungs, on a study in memory."""
    config, sampler = compose_way(way, evaluations)
    rungs = NO_RUNGS
    if recorded.curves:
        rungs = build_rungs(config.scheduler, evaluations, METRIC)
    space = TableSpace(recorded)
    proposals = SampledProposals(
        space,  # type: ignore[arg-type]
        lambda candidate: [],
        partial(build_sampler, sampler),
        seed=seed,
        direction=StudyDirection.MAXIMIZE,
        repeats=True,
        rungs=rungs,
    )
    study = optuna.create_study(direction="maximize")
    where = Path("no-such-directory")
    lock: Any = NoLock()
    return TrialQueue(study, where, lock, space, proposals, config=config, total=10**6), rungs


@cache
def compose_way(way: Way, evaluations: int) -> tuple[Config, Any]:
    """The config of a way, and of its sampler."""
    overrides = [f"method={way.method}", f"scheduler={way.scheduler}", f"training.evaluations={evaluations}"]
    overrides += way.settings
    with initialize_config_dir(str(CONF_DIR)):
        sampler = compose("config", overrides=overrides, return_hydra_config=True).hydra.sweeper.sampler
    return compose_validated([each for each in overrides if not each.startswith("hydra.")]), sampler


def _search_stock(recorded: Recorded, seed: int, observe: Any, found: Found) -> Iterator[float]:
    """Optuna as it comes: its default sampler, choices without order, diverged trials told as failed."""
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed % 2**32))
    space = TableSpace(recorded).distributions
    while True:
        trial = study.ask(space)
        cell = tuple(trial.params[key] for key in recorded.keys)
        curve = observe(cell)
        found.spent += (len(curve) + 1) / recorded.length if len(curve) < recorded.length else 1
        if len(curve) < recorded.length:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
        else:
            study.tell(trial, curve[-1])
            found.finals.setdefault(cell, []).append(curve[-1])
        yield found.spent
