"""The leaderboard and the analysis of a study.

python -m vbot_train.analyze multirun/NAME --metric success_rate --sort descending
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import yaml
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from vbot_train.analysis.figures import draw_figures
from vbot_train.analysis.importance import Importance, rank_importance
from vbot_train.analysis.ranking import TOP, Configuration, cell, configurations, reliability, shown, summarize
from vbot_train.analysis.trials import Study, StudyError, Trial, load_study
from vbot_train.result import METRICS, ResultError, write_atomically

LOG_WIDTH = 140  # columns, where the output goes to a file
FILE_NAME = "hyperparameter_importance.yaml"


def analyze(study_dir: Path, metric: str | None = None, sort: str | None = None, storage: str | None = None) -> Path:
    """Write a study's analysis and print its leaderboard.

    Args:
        study_dir: The study's directory.
        metric: What to rank by; None is what the study optimized.
        sort: Order of the printed leaderboard, ``ascending`` or ``descending``; None is best first. What is written
            is always best first.
        storage: Where the study lives; None is where its record says.

    Returns:
        The analysis file.

    Raises:
        StudyError: The directory is not that of a study.
        ResultError: A trial's result cannot be read.
    """
    study = load_study(study_dir, storage)
    metric = metric or str(study.record["metric"])
    ranked = study.ranked(metric)
    importance = rank_importance(ranked, metric)
    out = study_dir / "analysis"
    (out / "experiment").mkdir(parents=True, exist_ok=True)
    content = summarize(study, metric, ranked, importance)
    write_atomically(out / FILE_NAME, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
    found = configurations(ranked, metric)
    export([configuration.trials[0] for configuration in found], out / "experiment")
    draw_figures(ranked, study.pruned, metric, importance, out)
    show(study, metric, ordered(found, metric, sort), importance)
    return out / FILE_NAME


def ordered(ranked: Sequence[Configuration], metric: str, sort: str | None) -> list[Configuration]:
    """Configurations that stand best first, in the order asked for."""
    best_first = "descending" if METRICS[metric] == "maximize" else "ascending"
    return list(ranked) if sort in (None, best_first) else list(reversed(ranked))


def export(ranked: Sequence[Trial], directory: Path) -> None:
    """Write the best configurations as options of the config group ``experiment``, in place of earlier ones."""
    for old in directory.glob("*.yaml"):
        old.unlink(missing_ok=True)
    names = ["best", *(f"top_{rank}" for rank in range(1, TOP + 1))]
    for name, trial in zip(names, [*ranked[:1], *ranked[:TOP]], strict=False):
        body = (trial.directory / "experiment.yaml").read_text()
        command = f"python -m vbot_train --config-dir {directory.parent} experiment={name}"
        header = f"# @package _global_\n# Trial {trial.number}, seed {trial.result.seed}.   {command}\n"
        write_atomically(directory / f"{name}.yaml", header + body)


def show(study: Study, metric: str, ranked: Sequence[Configuration], importance: Sequence[Importance]) -> None:
    """Print the leaderboard."""
    console = Console(highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = LOG_WIDTH
    console.print(leaderboard(metric, ranked))
    counts = ", ".join(f"{count} {status}" for status, count in study.counts.items() if count)
    console.print(f"trials: {counts or 'none'}")
    console.print(f"importance: {reliability(sum(len(found.trials) for found in ranked))}")
    for row in importance:
        if row.importance is not None and row.interval_90 is not None:
            low, high = row.interval_90
            console.print(f"  {row.parameter:<24} {row.importance:.2f}  [{low:.2f}, {high:.2f}]", markup=False)
    console.print(f"analysis: {study.directory / 'analysis' / FILE_NAME}", markup=False)
    if ranked:
        line = f"python -m vbot_train --config-dir {study.directory / 'analysis'} experiment=best"
        console.print(f"train the best again: {line}", markup=False)


def leaderboard(metric: str, ranked: Sequence[Configuration]) -> Table:
    """The ten best configurations: the first trial of each, and the interquartile means over its seeds."""
    columns = list(dict.fromkeys([metric, "success_rate", "fall_rate", "time_to_goal_s"]))
    table = Table("trial", "seeds", *columns, box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("configuration", overflow="fold")
    for found in ranked[:10]:
        first, means = found.trials[0], [found.mean(name) for name in columns]
        table.add_row(str(first.number), str(len(found.seeds)), *map(cell, means), shown(first.params))
    return table


def main() -> None:
    """Write a study's analysis and print its leaderboard."""
    parser = argparse.ArgumentParser(prog="python -m vbot_train.analyze", description=main.__doc__)
    parser.add_argument("study", type=Path, help="directory of a study, such as multirun/NAME")
    parser.add_argument("--metric", choices=METRICS, help="rank by this; default: what the study optimized")
    parser.add_argument("--sort", choices=("ascending", "descending"), help="default: the metric's best first")
    parser.add_argument("--storage", help="where the study lives, if that takes a password")
    arguments = parser.parse_args()
    try:
        analyze(arguments.study, arguments.metric, arguments.sort, arguments.storage)
    except (StudyError, ResultError) as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
