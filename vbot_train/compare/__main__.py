"""Compare runs and studies.

python -m vbot_train.compare outputs/RUN multirun/NAME --figure compare.png
"""

import argparse
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from vbot_train.analysis.curves import CurveError
from vbot_train.analysis.ranking import format_cell, format_interval
from vbot_train.compare.compared_runs import load_side
from vbot_train.compare.comparison import Comparison, Difference, Estimate, choose_metric
from vbot_train.compare.figure import draw_comparison
from vbot_train.config.composition import ConfigError
from vbot_train.study.errors import StudyError
from vbot_train.terminal import detach_from_terminal, name_command
from vbot_train.training.files import write_atomically
from vbot_train.training.metrics import METRICS
from vbot_train.training.result import ResultError
from vbot_train.training.seed_statistics import caution_few_seeds, name_mean

LOG_WIDTH = 140  # minimum columns, if the output is not a terminal
SIDE_WIDTH = 36
SAME = "no difference"


def compare(paths: Sequence[Path], metric: str | None = None, storage: str | None = None) -> Comparison:
    """Load runs and studies for a comparison.

    Args:
        paths: At least two directories of runs, trials or studies; the first is compared with each other one.
        metric: Metric of the differences; None for the default of ``choose_metric``.
        storage: Storage URL of a study, with the password, if its record omits the password.

    Raises:
        ConfigError: There is only one path, a path is neither run nor study, or a config cannot be read.
        StudyError: A study cannot be read, or the studies optimized different metrics.
        ResultError: A run was not completed, or its result cannot be used.
        CurveError: A learning curve cannot be read.
    """
    if len(paths) < 2:
        raise ConfigError(f"{paths[0]}: there is nothing to compare it with; name another run or study")
    sides = [load_side(path, storage) for path in paths]
    return Comparison(sides, choose_metric(sides, metric))


def show(found: Comparison, console: Console) -> None:
    """Print a comparison: configuration differences, then metrics, then learning curves."""
    for name, side in zip(name_runs(found), found.sides, strict=True):
        console.print(f"{name} {side.path}: {side.what}")
    for warning in found.warnings:
        console.print(f"warning: {warning}")
    console.print(f"\nconfiguration: {f'{len(found.settings)} of its keys differ' if found.settings else SAME}")
    for rows in (found.settings, found.seeds):
        if rows:
            console.print(
                build_table("key" if rows is found.settings else "seeds", name_runs(found), build_texts(rows))
            )
    console.print(f"\nmetrics: {SAME if found.is_same else 'best checkpoint, on held-out episodes'}")
    console.print(
        build_table(
            "metric", name_runs(found), {metric: map(describe_estimate, row) for metric, row in found.metrics.items()}
        )
    )
    for line in write_legend(found):
        console.print(line)
    console.print(list_differences(found))
    show_curves(found, console)
    if len(found.climbs) > 1:
        show_climbs(found, console)


def name_runs(found: Comparison) -> list[str]:
    """Return short names of the sides for table headers."""
    return [f"#{number}" for number in range(1, len(found.sides) + 1)]


def build_table(head: str, columns: Sequence[str], rows: Mapping[str, Any]) -> Table:
    """Build a table with one row per key and one column per side."""
    filled = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in (head, *columns):
        filled.add_column(column, overflow="fold")
    for key, cells in rows.items():
        filled.add_row(key, *cells)
    return filled


def build_texts(rows: Mapping[str, Sequence[Any]]) -> dict[str, list[str]]:
    """Format values briefly, unless that hides a difference."""
    shown = {}
    for key, values in rows.items():
        short, exact = [format_cell(value) for value in values], [str(value) for value in values]
        shown[key] = short if len(set(short)) == len(set(exact)) else exact
    return shown


def describe_estimate(estimate: Estimate) -> str:
    """Format one metric of one side."""
    return f"{format_cell(estimate.value)}{format_interval(estimate.interval_95)}"


def write_legend(found: Comparison) -> Iterator[str]:
    """Yield lines that explain the values and intervals of each side's metrics."""
    for i, (name, side) in enumerate(zip(name_runs(found), found.sides, strict=True)):
        runs = len(side.runs)
        if side.failed_seeds:
            yield f"{name}: {len(side.failed_seeds)} of {runs + len(side.failed_seeds)} training seeds have no value"
        if runs == 1:
            yield f"{name}: one training seed; rates with their 95 % Wilson interval over its {side.episodes} episodes"
            continue
        truth = f": {caution}" if (caution := caution_few_seeds(runs)) else ""
        yield f"{name}: {name_mean(runs)} of {runs} training seeds, with its 95 % bootstrap interval over them{truth}"
        fewer = {metric: row[i].runs for metric, row in found.metrics.items() if row[i].runs < runs}
        if fewer:
            yield f"{name}: fewer runs have a value of {', '.join(f'{key} ({count})' for key, count in fewer.items())}"


def list_differences(found: Comparison) -> Table:
    """Build the table of differences between the first side and each other one."""
    filled = Table(f"{found.metric} ({METRICS[found.metric].better} is better)", box=SIMPLE_HEAD, pad_edge=False)
    for column in ("difference, 95 % interval", "P(#1 better)", ""):
        filled.add_column(column, overflow="fold")
    for name, row in zip(name_runs(found)[1:], found.differences, strict=True):
        filled.add_row(f"#1 - {name}", list_differing(row), format_cell(row.probability_of_improvement), row.how)
    return filled


def list_differing(row: Difference) -> str:
    """Format a difference and its interval."""
    return (
        SAME
        if row.value == 0 and row.interval_95 in (None, (0, 0))
        else f"{format_cell(row.value)}{format_interval(row.interval_95)}"
    )


def show_curves(found: Comparison, console: Console) -> None:
    """Print the learning curves at common env steps."""
    if not found.env_steps:
        console.print("learning curves: there are none")
        return
    rows: dict[str, list[str]] = {}
    for i, env_steps in enumerate(found.env_steps):
        rows[f"{env_steps:,}"] = [
            "-" if curve is None else f"{format_value(curve.success_rate[i])} / {format_value(curve.reward[i])}"
            for curve in found.curves
        ]
    console.print("learning curves: success rate / reward of training episodes, mean over seeds")
    console.print(build_table("env steps", name_runs(found), rows))


def show_climbs(found: Comparison, console: Console) -> None:
    """Print the best-so-far curve of each study."""
    searched = [name_runs(found)[i] for i in found.climbs]
    console.print(f"searches: best held-out {found.metric} against env steps of training, all trials together")
    rows = {f"{budget:,}": [format_cell(row.at(budget)) for row in found.climbs.values()] for budget in found.budgets}
    rows["in all"] = [f"{format_cell(row.best[-1])} ({row.env_steps[-1]:,})" for row in found.climbs.values()]
    console.print(build_table("env steps", searched, rows))


def format_value(value: float) -> str:
    """Format a number of a curve; NaN as ``-``."""
    return "-" if math.isnan(value) else f"{value:.3g}"


def format_numbers(found: Comparison) -> dict[str, Any]:
    """Return the comparison as JSON-serializable data."""
    curves = [None if curve is None else asdict(curve) for curve in found.curves]
    return {
        "metric": found.metric,
        "warnings": found.warnings,
        "sides": [
            {
                "name": name,
                "path": str(side.path),
                "what": side.what,
                "stage": side.stage,
                "episodes": side.episodes,
                **side.seeds,
            }
            for name, side in zip(name_runs(found), found.sides, strict=True)
        ],
        "configuration": found.settings,
        "seeds": found.seeds,
        "metrics": {metric: [asdict(estimate) for estimate in row] for metric, row in found.metrics.items()},
        "same_metrics": found.is_same,
        "differences": [asdict(row) for row in found.differences],
        "learning_curves": [
            None if curve is None else {key: list(map(format_or_none, values)) for key, values in curve.items()}
            for curve in curves
        ],
        "searches": {
            "budgets": found.budgets,
            **{
                name_runs(found)[i]: {"at_budgets": [row.at(budget) for budget in found.budgets], **asdict(row)}
                for i, row in found.climbs.items()
            },
        },
    }


def format_or_none(value: float) -> float | None:
    """Replace NaN by None, since JSON has no NaN."""
    return None if math.isnan(value) else float(value)


def check_files(json_file: Path | None, figure_file: Path | None) -> None:
    """Check the output files before any input is read.

    Raises:
        ConfigError: A file cannot be written, or the figure is not a PNG.
    """
    for option, file in (("--json", json_file), ("--figure", figure_file)):
        if file is not None and (file.is_dir() or not os.access(file.parent, os.W_OK)):
            raise ConfigError(f"{option}={file}: cannot be written there")
    if figure_file is not None and figure_file.suffix != ".png":
        raise ConfigError(f"--figure={figure_file}: must end in .png")


def write(found: Comparison, json_file: Path | None, figure_file: Path | None) -> None:
    """Write the JSON file and the figure, if requested."""
    if json_file is not None:
        write_atomically(json_file, json.dumps(format_numbers(found), indent=2, ensure_ascii=False) + "\n")
    if figure_file is not None:
        sides = [f"{name} {side.path}" for name, side in zip(name_runs(found), found.sides, strict=True)]
        draw_comparison(sides, [side.curves for side in found.sides], found.climbs, found.metric, figure_file)


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of the command line."""
    parser = argparse.ArgumentParser(prog=name_command("compare"), description=main.__doc__)
    parser.add_argument("sides", type=Path, nargs="+", metavar="RUN_OR_STUDY", help="outputs/RUN, multirun/NAME, ...")
    parser.add_argument("--metric", choices=METRICS, help="of the differences; default: what the studies optimized")
    parser.add_argument("--figure", type=Path, metavar="FILE.png", help="draw the learning curves, and the searches")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there, too")
    parser.add_argument("--storage", help="where a study lives, if that takes a password")
    return parser


def main() -> None:
    """Compare runs and studies: configuration, metrics, probability of improvement, learning curves."""
    arguments = build_parser().parse_intermixed_args()
    console = Console(highlight=False, markup=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = max(LOG_WIDTH, SIDE_WIDTH * (len(arguments.sides) + 1))
    try:
        check_files(arguments.json, arguments.figure)
        found = compare(arguments.sides, arguments.metric, arguments.storage)
        show(found, console)
        write(found, arguments.json, arguments.figure)
    except (ConfigError, StudyError, ResultError, CurveError) as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    detach_from_terminal()
    main()
