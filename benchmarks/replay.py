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
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from recorded import Recorded, read_curves, read_landscapes
from recorded_search import CONFIRM_SEEDS, STOCK, Way, search
from rich.console import Console
from rich.table import Table

from vbot_train.study.storage import quiet_optuna

METHODS = ("random", "bayesian", "gp", STOCK)
MODELS = ("bayesian", "gp")
MOST_BY_GP = 40  # trainings; each proposal takes longer than the last


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
