"""Write the analysis of a study and print its leaderboard.

python -m vbot_train.analyze multirun/NAME --metric success_rate --sort descending
"""

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path

import yaml
from pydantic_core import PydanticCustomError
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from vbot_train.analysis.advice import Advice, give_advice
from vbot_train.analysis.compared_trials import choose_compared_trials
from vbot_train.analysis.figures import draw_figures
from vbot_train.analysis.headline import format_spread_over_seeds, write_cheapest, write_headline
from vbot_train.analysis.importance import EstimatorName, ImportanceReport, measure_importance
from vbot_train.analysis.ranking import TOP, Configuration, describe_seeds, format_cell, format_params
from vbot_train.analysis.report import write_report
from vbot_train.analysis.summary import summarize
from vbot_train.analysis.verdict import Verdict
from vbot_train.config.key_types import POSITIVE_BOUNDS
from vbot_train.study.errors import StudyError
from vbot_train.study.loading import load_study
from vbot_train.study.trials import Trial, tell_left_out
from vbot_train.terminal import detach_from_terminal, name_command
from vbot_train.training.files import remove_file, write_atomically
from vbot_train.training.metrics import METRICS

LOG_WIDTH = 140  # columns, if the output is not a terminal
SHOWN = 10  # configurations on the leaderboard
FILE_NAME = "hyperparameter_importance.yaml"
REPORT_NAME = "report.html"


def analyze(
    study_dir: Path,
    metric: str | None = None,
    sort: str | None = None,
    storage: str | None = None,
    estimator: EstimatorName = "ped_anova",
    within: float | None = None,
) -> Path:
    """Write a study's analysis and print its leaderboard.

    Args:
        study_dir: Directory of the study.
        metric: Metric to rank by; None for the study's objective.
        sort: Order of the printed leaderboard, ``ascending`` or ``descending``; None for best first. The files that
            are written are always sorted best first.
        storage: Storage of the study; None for the one in its record.
        estimator: Importance estimator.
        within: How much worse the cheapest acceptable configuration may be; None for the study's ``search.within``.

    Returns:
        Path of the analysis file.

    Raises:
        StudyError: The directory does not hold a study, or an optional dependency is missing.
        OSError: The analysis cannot be written.
    """
    study = load_study(study_dir, storage)
    metric = metric or study.record.metric
    verdict = Verdict(study, metric, within)
    compared = choose_compared_trials(study, metric)
    importance = measure_importance(compared.trials, metric, estimator=estimator, where=compared.where)
    advice = give_advice(verdict)
    out = choose_folder(verdict)
    (out / "experiment").mkdir(parents=True, exist_ok=True)
    content = summarize(verdict, importance, advice)
    write_atomically(out / FILE_NAME, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
    export([found.trials[0] for found in verdict.best_first], out / "experiment")
    draw_figures(verdict, importance, out)
    write_report(verdict, importance, advice, out / REPORT_NAME)
    show(verdict, importance, advice, sort)
    return out / FILE_NAME


def choose_folder(verdict: Verdict) -> Path:
    """Return the output folder; an analysis by a metric other than the study's objective has its own subfolder."""
    folder = verdict.study.directory / "analysis"
    return folder if verdict.metric == verdict.study.record.metric else folder / f"by_{verdict.metric}"


def order_rows(found: Sequence[Configuration], metric: str, sort: str | None) -> list[Configuration]:
    """Return configurations, given best first, in the order ``sort``."""
    best_first = "descending" if METRICS[metric].is_maximized else "ascending"
    return list(found) if sort in (None, best_first) else list(reversed(found))


def export(ranked: Sequence[Trial], directory: Path) -> None:
    """Write the best configurations as options of the config group ``experiment``; replace earlier ones."""
    names = ["best", *(f"top_{rank}" for rank in range(1, TOP + 1))]
    written = dict(zip(names, [*ranked[:1], *ranked[:TOP]], strict=False))
    for name in names[len(written) :]:  # keep all other files: they are the user's
        remove_file(directory / f"{name}.yaml")
    for name, trial in written.items():
        body = (trial.directory / "experiment.yaml").read_text(encoding="utf-8")
        command = f"{name_command()} --config-dir {shlex.quote(directory.parent.as_posix())} experiment={name}"
        header = f"# @package _global_\n# Trial {trial.number}, seed {trial.result.seed}.   {command}\n"
        write_atomically(directory / f"{name}.yaml", header + body)


def show(verdict: Verdict, importance: ImportanceReport, advice: Sequence[Advice], sort: str | None) -> None:
    """Print the leaderboard, the importances, the advice and the headline."""
    console = Console(highlight=False, soft_wrap=True, markup=False)
    if not console.is_terminal:
        console.width = LOG_WIDTH
    out = choose_folder(verdict)
    found = order_rows(verdict.best_first, verdict.metric, sort)
    console.print(build_leaderboard(verdict, found))
    if len(found) > SHOWN:
        console.print(f"{SHOWN} of {len(found)} configurations; the report draws all")
    counts = ", ".join(f"{count} {status}" for status, count in verdict.study.counts.items() if count)
    console.print(f"trials: {counts or 'none'}")
    for line in tell_left_out(verdict.study):
        console.print(line)
    console.print(f"importance ({importance.estimator}{importance.where}): {importance.reliability}")
    for row in importance.rows:
        if row.importance is not None and row.interval_90 is not None:
            low, high = row.interval_90
            console.print(f"  {row.parameter:<24} {row.importance:.2f}  [{low:.2f}, {high:.2f}]")
    for item in advice:
        console.print(f"advice: {item.text} ({item.evidence})")
        if item.line is not None:
            console.print(f"  add {item.line}")
    for line in (*write_headline(verdict), *write_cheapest(verdict)):
        console.print(line)
    console.print(f"analysis: {out / FILE_NAME}, {REPORT_NAME}")
    if verdict.winner is not None:
        line = f"{name_command()} --config-dir {shlex.quote(out.as_posix())} experiment=best"
        console.print(f"train the best again: {line}")


def build_leaderboard(verdict: Verdict, found: Sequence[Configuration]) -> Table:
    """Build the table of the first ``SHOWN`` configurations: search values (IQM over seeds) and confirmed values."""
    columns = list(dict.fromkeys([verdict.metric, "success_rate", "fall_rate", "time_to_goal_s"]))
    confirmed = ["confirmed"] if verdict.confirmed else []
    table = Table("trial", "seeds", *columns, *confirmed, box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("configuration", overflow="fold")
    for row in found[:SHOWN]:
        again = verdict.confirmed.get(row.number)
        value = ["-" if again is None else format_spread_over_seeds(again, verdict.metric)]
        means = [format_cell(row.mean(name)) for name in columns]
        seeds = describe_seeds(row.runs, verdict.metric) if row.failed_seeds else str(len(row.runs))
        table.add_row(str(row.number), seeds, *means, *value[: len(confirmed)], format_params(row.params))
    return table


def check_within(within: float | None) -> None:
    """Check the value of ``--within``.

    Raises:
        StudyError: It is no valid ``search.within``.
    """
    try:
        POSITIVE_BOUNDS.check(1.0 if within is None else within)
    except PydanticCustomError as error:
        raise StudyError(f"--within={within}: {error.message()}") from None


def main() -> None:
    """Write a study's analysis and print its leaderboard."""
    parser = argparse.ArgumentParser(prog=name_command("analyze"), description=main.__doc__)
    parser.add_argument("study", type=Path, help="directory of a study, such as multirun/NAME")
    parser.add_argument("--metric", choices=METRICS, help="rank by this; default: what the study optimized")
    parser.add_argument("--sort", choices=("ascending", "descending"), help="default: the metric's best first")
    parser.add_argument("--importance", choices=("ped_anova", "fanova"), default="ped_anova", help="estimator")
    parser.add_argument("--within", type=float, metavar="X", help="in place of the study's search.within")
    parser.add_argument("--storage", help="where the study lives, if that takes a password")
    arguments = parser.parse_args()
    try:
        check_within(arguments.within)
        estimator, within = arguments.importance, arguments.within
        analyze(arguments.study, arguments.metric, arguments.sort, arguments.storage, estimator, within)
    except (StudyError, OSError) as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    detach_from_terminal()
    main()
