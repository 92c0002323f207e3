"""What a search finds with recorded results, by method and with and without the scheduler.

python benchmarks/replay.py --landscapes FILE --curves FILE

Nothing is trained: each trial takes a recorded final value (--landscapes) or curve (--curves). Proposals, queue, rungs
and promotions are the product's own, with a storage in memory and no locks. Budgets are counted in full trainings; a
trial that is paused costs its share. A search picks the configuration with the best mean final value that it has seen
(before the first one, with the best value at the highest rung); its score is the true value of that pick: 0 is the
median cell, 1 the best. Pairs of task and repetition share their noise between methods. Random search draws with
replacement, as random search does.
"""

import argparse
import os
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from hydra import compose, initialize_config_dir
from optuna.study import StudyDirection
from recorded import Cell, Recorded, TableSpace, read_curves, read_landscapes
from rich.console import Console
from rich.table import Table

from vbot_train.config.composition import CONF_DIR
from vbot_train.config.schema import Config
from vbot_train.config.validation import compose_validated
from vbot_train.search.execution.trial_queue import TrialQueue
from vbot_train.search.execution.trial_reporter import QueuedTrial
from vbot_train.search.space.proposals import SampledProposals
from vbot_train.search.space.samplers import build_sampler
from vbot_train.study.rungs import NO_RUNGS, Rungs, build_rungs
from vbot_train.study.storage import quiet_optuna
from vbot_train.training.result import TrialResult

METRIC = "episode_reward_mean"
STOCK = "optuna's defaults"
METHODS = ("random", "bayesian", "gp", STOCK)
MOST_BY_GP = 40  # trainings; each proposal takes longer than the last


@dataclass(frozen=True)
class Way:
    """A way to search."""

    method: str
    scheduler: str = "none"

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


def replay(recorded: Recorded, way: Way, budgets: Sequence[int], repetition: int, evaluations: int) -> list[float]:
    """Search once. Returns the score of the pick at each budget."""
    found, scores = Found({}, {}), []
    steps = _search(recorded, way, repetition, evaluations, found)
    for budget in budgets:
        while found.spent < budget and next(steps, None) is not None:
            pass
        scores.append(recorded.score(found.pick()))
    return scores


def _search(recorded: Recorded, way: Way, repetition: int, evaluations: int, found: Found) -> Iterator[float]:
    """Take trial after trial; yields after each."""
    draws: dict[Cell, int] = defaultdict(int)
    seeds = np.random.SeedSequence([repetition, *recorded.name.encode()])
    seed = int(seeds.generate_state(1)[0])

    def observe(cell: Cell) -> list[float] | None:
        """Draw the next training of a cell: the n-th one is the same in every search of this repetition."""
        draws[cell] += 1
        return recorded.observe(cell, np.random.default_rng([seed, draws[cell], recorded.cells.index(cell)]))

    if way.method == STOCK:
        yield from _search_stock(recorded, seed, observe, found)
        return
    queue, rungs = build_queue(recorded, way, seed, evaluations)
    curves: dict[int, list[float] | None] = {}
    trained: dict[int, int] = defaultdict(int)  # evaluations
    while (queued := queue.take()) is not None:
        number, cell = queued.trial.number, tuple(queued.candidate.params[key] for key in recorded.keys)
        if number not in curves:
            curves[number] = observe(cell)
        before = trained[number]
        trained[number] = train(queue, queued, curves[number], before, rungs, found, cell)
        found.spent += (trained[number] - before) / max(rungs.evaluations_per_trial, 1)
        yield found.spent


def train(
    queue: TrialQueue, queued: QueuedTrial, curve: list[float] | None, done: int, rungs: Rungs, found: Found, cell: Cell
) -> int:
    """Train a trial to its end, or until it is paused. Returns the evaluations that it has had."""
    total = rungs.evaluations_per_trial
    if curve is None:
        end(queue, queued, "diverged", None)
        return min(done + 1, total)  # where in its first quarter it diverges is not recorded
    for evaluation in range(done + 1, total):
        value = curve[round(evaluation * len(curve) / total) - 1]
        rung = rungs.find_rung(evaluation)
        if rung is not None:
            found.at_rung[cell] = max(found.at_rung.get(cell, (0, 0.0)), (rung, value))
            if queue.reporter.report(queued, evaluation, value):
                queue.reporter.put_back(queued.trial, "", 0.0, 0, "paused", killed=False)
                return evaluation
    end(queue, queued, "completed", curve[-1])
    found.finals.setdefault(cell, []).append(curve[-1])
    return total


def end(queue: TrialQueue, queued: QueuedTrial, status: str, value: float | None) -> None:
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
    with initialize_config_dir(str(CONF_DIR)):
        sampler = compose("config", overrides=overrides, return_hydra_config=True).hydra.sweeper.sampler
    return compose_validated(overrides), sampler


def _search_stock(recorded: Recorded, seed: int, observe: Any, found: Found) -> Iterator[float]:
    """Optuna as it comes: its default sampler, choices without order, diverged trials told as failed."""
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed % 2**32))
    space = TableSpace(recorded).distributions
    while True:
        trial = study.ask(space)
        cell = tuple(trial.params[key] for key in recorded.keys)
        curve = observe(cell)
        found.spent += 1
        if curve is None:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
        else:
            study.tell(trial, curve[-1])
            found.finals.setdefault(cell, []).append(curve[-1])
        yield found.spent


def run_pair(task: Recorded, repetition: int, ways: Sequence[Way], budgets: Sequence[int], evaluations: int) -> Any:
    """Scores of all ways on one task in one repetition, and the seconds that each took."""
    quiet_optuna()
    found = {}
    for way in ways:
        start = time.perf_counter()
        own = [budget for budget in budgets if way.method != "gp" or budget <= MOST_BY_GP]
        scores = replay(task, way, own, repetition, evaluations)
        found[way] = scores, time.perf_counter() - start
    return found


def run(tasks: Sequence[Recorded], repetitions: int, ways: Sequence[Way], budgets: Sequence[int], **kw: Any) -> Any:
    """Scores of each way, (pairs, budgets); pairs of task and repetition run side by side."""
    pairs = [(task, repetition) for repetition in range(repetitions) for task in tasks]
    once = partial(run_pair, ways=ways, budgets=budgets, **kw)
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:
        found = list(pool.map(once, *zip(*pairs, strict=True)))
    return {way: ([pair[way][0] for pair in found], sum(pair[way][1] for pair in found)) for way in ways}


def show(title: str, found: Mapping[Way, Any], budgets: Sequence[int]) -> None:
    """Print the mean score of each way, with its 95 % interval, and differences of pairs to the first way."""
    console, table = Console(width=150), Table("", *(f"{budget}" for budget in budgets), "s per search", title=title)
    for way, (scores, seconds) in found.items():
        columns = [format_mean(column) for column in zip(*scores, strict=True)]
        columns += [""] * (len(budgets) - len(columns))
        table.add_row(str(way), *columns, f"{seconds / len(scores):.1f}")
    console.print(table)


def show_differences(found: Mapping[Way, Any], comparisons: Sequence[tuple[Way, int, Way, int]]) -> None:
    """Print paired differences: a way with a budget index against another."""
    for one, at, other, there in comparisons:
        pairs = zip(found[one][0], found[other][0], strict=True)
        print(f"  {one} [{at}] - {other} [{there}]: {format_mean([a[at] - b[there] for a, b in pairs])}")


def format_mean(values: Sequence[float]) -> str:
    """A mean with its 95 % interval."""
    half = 1.96 * statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else float("nan")
    return f"{statistics.fmean(values):+.3f} ± {half:.3f}"


def main() -> None:
    """Replay both files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--landscapes", type=Path)
    parser.add_argument("--curves", type=Path, nargs="*", default=[])
    parser.add_argument("--repetitions", type=int, default=2, help="of each landscape; curves: 40 in all")
    parser.add_argument("--evaluations", type=int, default=4, help="held-out evaluations of a training, for the rungs")
    parser.add_argument("--episodes", type=int, help="of each evaluation, where the file has several")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    arguments = parser.parse_args()
    if arguments.landscapes:
        ways, budgets = [Way(method) for method in arguments.methods], (10, 20, 40, 80)
        tasks = read_landscapes(arguments.landscapes)
        found = run(tasks, arguments.repetitions, ways, budgets, evaluations=arguments.evaluations)
        title = f"{len(tasks)} landscapes x {arguments.repetitions}, full trainings"
        show(title, found, budgets)
        for way in ways:
            others = [(way, 1, Way("random"), 2), (way, 2, Way("random"), 3), (way, 2, Way(STOCK), 2)]
            show_differences(found, [each for each in others if each[2] in found and each[2] != way])
    for path in arguments.curves:
        ways = [Way(method) for method in arguments.methods]
        ways += [Way(method, "halving") for method in arguments.methods if method != STOCK]
        budgets = (4, 8, 16, 32, 64)
        task = read_curves(path, arguments.episodes)
        found = run([task], 40, ways, budgets, evaluations=arguments.evaluations)
        show(f"{path.name}: {len(task.cells)} cells, budgets in full trainings", found, budgets)
        for way in ways[len(arguments.methods) :]:
            plain = Way(way.method)
            show_differences(found, [(way, k, plain, k + 1) for k in range(3 if way.method != "gp" else 2)])


if __name__ == "__main__":
    main()
