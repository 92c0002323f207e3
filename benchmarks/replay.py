"""What a search finds with recorded results, by method and with and without the scheduler.

python benchmarks/replay.py --landscapes FILE --curves FILE

Nothing is trained: each trial takes a recorded final value (--landscapes) or curve (--curves). Proposals, queue, rungs
and promotions are the product's own, with a storage in memory and no locks. Budgets are counted in full trainings; a
trial that is paused costs its share. A search picks the configuration with the best mean final value that it has seen
(before the first one, with the best value at the highest rung); its score is the true value of that pick: 0 is the
median cell, 1 the best. The final value is that of the last step in the file: a training also chooses a checkpoint, and
reports its value on other starts, which is not replayed. Pairs of task and repetition share their noise between
methods. Random search draws with replacement, as random search does.
"""

import argparse
import os
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
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
CONFIRM_SEEDS = 3
MODELS = ("bayesian", "gp")
MOST_BY_GP = 40  # trainings; each proposal takes longer than the last


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
    curves: dict[int, list[float]] = {}
    trained: dict[int, float] = defaultdict(float)  # share of the training
    while (queued := queue.take()) is not None:
        number, cell = queued.trial.number, tuple(queued.candidate.params[key] for key in recorded.keys)
        if number not in curves:
            curves[number] = observe(cell)
        before = trained[number]
        trained[number] = train(queue, queued, curves[number], before, rungs, found, cell, recorded.length)
        found.spent += trained[number] - before
        yield found.spent


def train(
    queue: TrialQueue,
    queued: QueuedTrial,
    curve: list[float],
    done: float,
    rungs: Rungs,
    found: Found,
    cell: Cell,
    length: int,
) -> float:
    """Train a trial to its end, or until it is paused. Returns the share of the training that it has had."""
    total = rungs.evaluations_per_trial
    values = {k: curve[at - 1] for k in range(1, total) if (at := round(k * length / total)) <= len(curve)}
    for evaluation in range(round(done * total) + 1, max(values, default=0) + 1):
        rung = rungs.find_rung(evaluation)
        if rung is not None:
            found.at_rung[cell] = max(found.at_rung.get(cell, (0, 0.0)), (rung, rungs.find_best(values, rung)))
        if len(rungs) and queue.reporter.report(queued, evaluation, values[evaluation]):
            queue.reporter.put_back(queued.trial, "", 0.0, 0, "paused", killed=False)
            return evaluation / total
    if len(curve) < length:
        end(queue, queued, "diverged", None)
        return (len(curve) + 1) / length
    end(queue, queued, "completed", curve[-1])
    found.finals.setdefault(cell, []).append(curve[-1])
    return 1.0


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


def run_pair(task: Recorded, repetition: int, ways: Sequence[Way], budgets: Sequence[int], **kw: int) -> Any:
    """Scores of all ways on one task in one repetition, and the seconds that each took."""
    quiet_optuna()
    found = {}
    for way in ways:
        start = time.perf_counter()
        own = [budget for budget in budgets if way.method != "gp" or budget <= MOST_BY_GP]
        scores = search(task, way, own, repetition, **kw)
        found[way] = scores, time.perf_counter() - start
    return found


def run(tasks: Sequence[Recorded], repetitions: int, ways: Sequence[Way], budgets: Sequence[int], **kw: Any) -> Any:
    """Scores of each way, (pairs, budgets); pairs of task and repetition run side by side."""
    pairs = [(task, repetition) for repetition in range(repetitions) for task in tasks]
    once = partial(run_pair, ways=ways, budgets=budgets, **kw)
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:
        found = list(pool.map(once, *zip(*pairs, strict=True)))
    return {way: ([pair[way][0] for pair in found], sum(pair[way][1] for pair in found)) for way in ways}


def show(title: str, found: Mapping[Way, Any], budgets: Sequence[int], picked: int) -> None:
    """Print the mean score of each way, with its 95 % interval.

    Args:
        title: Of the table.
        found: Scores of all pairs, and seconds, by way.
        budgets: Of the columns.
        picked: 0: the score of the pick, 1: after the best were confirmed.
    """
    console, table = Console(width=150), Table("", *(f"{budget}" for budget in budgets), "s per search", title=title)
    for way, (scores, seconds) in found.items():
        columns = [format_mean([score[picked] for score in column]) for column in zip(*scores, strict=True)]
        columns += [""] * (len(budgets) - len(columns))
        table.add_row(str(way), *columns, f"{seconds / len(scores):.1f}")
    console.print(table)


def show_differences(
    found: Mapping[Way, Any], budgets: Sequence[int], comparisons: Sequence[tuple[Way, int, Way, int]], picked: int
) -> None:
    """Print paired differences of a way at a budget to another one, but not to ways that were not tried."""
    for one, budget, other, its_budget in comparisons:
        if one == other or other not in found:
            continue
        at, there = budgets.index(budget), budgets.index(its_budget)
        pairs = zip(found[one][0], found[other][0], strict=True)
        difference = format_mean([a[at][picked] - b[there][picked] for a, b in pairs])
        print(f"  {one} with {budget} - {other} with {its_budget}: {difference}")


def format_mean(values: Sequence[float]) -> str:
    """A mean with its 95 % interval."""
    half = 1.96 * statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else float("nan")
    return f"{statistics.fmean(values):+.3f} ± {half:.3f}"


def show_landscapes(path: Path, arguments: argparse.Namespace) -> None:
    """Replay final values, and print what each method finds."""
    ways, budgets, repetitions = list_ways(arguments), (10, 20, 40, 80), arguments.repetitions
    tasks = read_landscapes(path)
    found = run(tasks, repetitions, ways, budgets, evaluations=4, confirmed=0)
    show(f"{len(tasks)} landscapes x {repetitions}, full trainings", found, budgets, 0)
    random, stock = Way("random"), Way(STOCK)
    for way in ways:
        show_differences(found, budgets, [(way, 20, random, 40), (way, 40, random, 80), (way, 40, stock, 40)], 0)


def list_ways(arguments: argparse.Namespace) -> list[Way]:
    """The methods to try, without the scheduler; samplers that learn get the settings."""
    settings = tuple(f"hydra.sweeper.sampler.{setting}" for setting in arguments.sampler)
    return [Way(method, settings=settings if method in MODELS else ()) for method in arguments.methods]


def show_curves(path: Path, arguments: argparse.Namespace) -> None:
    """Replay curves, and print what each method finds with the scheduler and without."""
    task, budgets = read_curves(path, arguments.episodes), (4, 8, 16, 32, 64)
    if task.length % arguments.evaluations:
        raise SystemExit(
            f"{path}: has {task.length} steps, which --evaluations {arguments.evaluations} does not divide"
        )
    plain = list_ways(arguments)
    halving = [
        replace(way, scheduler="halving", settings=(*way.settings, *arguments.scheduler))
        for way in plain
        if way.method != STOCK
    ]
    counts = {"evaluations": arguments.evaluations, "confirmed": arguments.confirm}
    found = run([task], arguments.curve_repetitions, plain + halving, budgets, **counts)
    for picked in (0, 1) if arguments.confirm else (0,):
        more = f", the best {arguments.confirm} confirmed on {CONFIRM_SEEDS} seeds" if picked else ""
        title = f"{path.name}: {len(task.cells)} cells x {arguments.curve_repetitions}, budgets in full trainings{more}"
        show(title, found, budgets, picked)
        for way in halving:
            most = MOST_BY_GP if way.method == "gp" else budgets[-1]
            same, random = next(each for each in plain if each.method == way.method), Way("random")
            show_differences(found, budgets, [(way, k, same, k) for k in budgets if k <= most], picked)
            show_differences(found, budgets, [(way, k, same, 2 * k) for k in budgets if 2 * k <= most], picked)
            half = [(way, k, random, 2 * k) for k in budgets if 2 * k <= most and same != random]
            show_differences(found, budgets, half, picked)


def main() -> None:
    """Replay both files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--landscapes", type=Path)
    parser.add_argument("--curves", type=Path, nargs="*", default=[])
    parser.add_argument("--repetitions", type=int, default=2, help="of each landscape")
    parser.add_argument("--curve-repetitions", type=int, default=40, help="of each file of curves")
    parser.add_argument("--evaluations", type=int, default=4, help="held-out evaluations of a training, for the rungs")
    parser.add_argument("--episodes", type=int, help="of each evaluation, where the file has several")
    parser.add_argument(
        "--confirm", type=int, default=0, help="finalists trained again before the pick; not in budgets"
    )
    parser.add_argument("--scheduler", nargs="+", default=[], help="its settings, for example scheduler.rungs=[0.5]")
    parser.add_argument("--sampler", nargs="+", default=[], help="its settings, for example n_startup_trials=10")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    arguments = parser.parse_args()
    if arguments.landscapes:
        show_landscapes(arguments.landscapes, arguments)
    for path in arguments.curves:
        show_curves(path, arguments)


if __name__ == "__main__":
    main()
