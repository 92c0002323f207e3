"""Figures of a study, as PNG."""

import io
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from optuna.distributions import BaseDistribution, CategoricalDistribution

from vbot_train.analysis.curves import CurveError, read_curve
from vbot_train.analysis.importance import ImportanceReport
from vbot_train.analysis.ranking import format_params, name_configuration
from vbot_train.analysis.verdict import DEFAULT, Verdict
from vbot_train.study.trials import Trial
from vbot_train.training.files import remove_file, write_atomically
from vbot_train.training.metrics import METRICS
from vbot_train.training.seed_statistics import bootstrap_interval

log = logging.getLogger(__name__)

DPI = 120
LONGEST_LABEL = 60  # characters; longer labels are replaced by the trial number
CURVES = 10  # trials drawn in colour, best first
MOST_CURVES = 100  # maximum number of completed and of paused trials drawn
PANELS = 3  # columns of the slice plot


def draw_figures(verdict: Verdict, importance: ImportanceReport, directory: Path) -> None:
    """Write the figures that the study has data for, as PNG; remove earlier ones."""
    for name in ("learning_curves", "history", "slices", "importance", "stages"):
        remove_file(directory / f"{name}.png")
    if verdict.screened:
        draw_learning_curves(verdict, directory / "learning_curves.png")
    if verdict.study.rank(verdict.metric):
        draw_history(verdict, directory / "history.png")
        if any(found.params for found in verdict.screened):
            draw_slices(verdict, directory / "slices.png")
    if importance.is_sufficient:
        draw_importance(verdict.metric, importance, directory / "importance.png")
    if verdict.confirmed:
        draw_stages(verdict, directory / "stages.png")


def draw_learning_curves(verdict: Verdict, path: Path) -> None:
    """Draw the success rate of training episodes against env steps: best trials in colour, paused ones dotted."""
    ranked = [trial for found in verdict.best_first for trial in found.trials]
    paused = [*verdict.study.paused, *verdict.study.pruned]
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    for rank, trial in enumerate(ranked[:MOST_CURVES]):
        color, label = (f"C{rank}", _write_label(trial)) if rank < CURVES else ("0.85", None)
        for steps, success in training_success(trial):
            axes.plot(steps, success, zorder=-rank, color=color, label=label)
            label = None  # no label for further seeds of the same trial
    if len(ranked) > CURVES:
        axes.plot([], [], color="0.85", label="others")
    for steps, success in (curve for trial in paused[:MOST_CURVES] for curve in training_success(trial)):
        axes.plot(steps, success, zorder=-len(ranked), color="0.6", linestyle=":")
    axes.set(xlabel="training env steps [million]", ylabel="success rate of training episodes", ylim=(-0.02, 1.02))
    if axes.lines:  # empty if no trial has a curve
        axes.legend(title="best first" + (", paused dotted" if paused else ""), fontsize="small", loc="upper left")
    save_png(figure, path)


def draw_history(verdict: Verdict, path: Path) -> None:
    """Draw the value of every completed trial by number, and the best value so far."""
    trials = sorted(verdict.study.rank(verdict.metric), key=lambda trial: trial.number)
    numbers, values = [t.number for t in trials], [t.result.get_objective(verdict.metric) or 0.0 for t in trials]
    best = METRICS[verdict.metric].accumulate_best(values)
    figure = Figure(figsize=(8, 3.5), layout="constrained")
    axes = figure.subplots()
    axes.plot(numbers, values, ".", color="0.6", label="trial")
    axes.step(numbers, best, where="post", color="C0", label="best so far")
    axes.set(xlabel="trial", ylabel=verdict.metric)
    axes.legend(fontsize="small")
    save_png(figure, path)


def draw_slices(verdict: Verdict, path: Path) -> None:
    """Draw the value against each parameter: star for the default configuration, ring for the winner."""
    ranked = verdict.study.rank(verdict.metric)
    spaces = {name: space for trial in ranked for name, space in trial.distributions.items() if name != "seed"}
    rows = -(-len(spaces) // PANELS)
    figure = Figure(figsize=(9, 2.4 * rows), layout="constrained")
    grid = figure.subplots(rows, PANELS, sharey=True, squeeze=False)
    chosen = [(verdict.default, "*", 11, "C1", "C1"), (verdict.best_first[0].number, "o", 15, "C3", "none")]
    for axes, (name, space) in zip(grid.flat, spaces.items(), strict=False):
        trials = [trial for trial in ranked if name in trial.params]
        places = {trial.number: _place(space, trial.params[name]) for trial in trials}
        values = {trial.number: trial.result.get_objective(verdict.metric) or 0.0 for trial in trials}
        axes.plot([*places.values()], [*values.values()], ".", color="C0", alpha=0.6)
        for number, marker, width, color, face in chosen:
            if number in places:
                at = places[number], values[number]
                axes.plot(*at, marker, markersize=width, color=color, markerfacecolor=face)
        axes.set_title(name, fontsize="small")
        axes.margins(y=0.1)
        if isinstance(space, CategoricalDistribution):
            axes.set_xticks(range(len(space.choices)), [str(choice) for choice in space.choices], fontsize="small")
        elif getattr(space, "log", False):
            axes.set_xscale("log")
    for axes in grid.flat[len(spaces) :]:
        axes.set_visible(False)
    figure.supylabel(verdict.metric, fontsize="small")
    save_png(figure, path)


def _find_drawn(value: float | None) -> float:
    return np.nan if value is None else value


def _place(space: BaseDistribution, value: Any) -> Any:
    """Return the axis position of a value: the index for a categorical parameter, else the value."""
    return space.choices.index(value) if isinstance(space, CategoricalDistribution) else value


def draw_importance(metric: str, importance: ImportanceReport, path: Path) -> None:
    """Draw the importance of each parameter with its 90 % interval."""
    rows = [row for row in importance.rows if row.importance is not None and row.interval_90 is not None][::-1]
    figure = Figure(figsize=(8, 0.4 * len(rows) + 1), layout="constrained")
    axes = figure.subplots()
    names = [row.parameter for row in rows]
    axes.barh(names, [row.importance or 0.0 for row in rows], color="C0", alpha=0.6)
    for y, row in enumerate(rows):
        axes.plot(row.interval_90 or (), (y, y), color="0.2")
    axes.set(xlabel=f"importance for {metric}{importance.where}, with 90 % bootstrap interval", xlim=(0, 1))
    save_png(figure, path)


def draw_stages(verdict: Verdict, path: Path) -> None:
    """Draw the search and confirmed values of the finalists, and the tested values of winner and default."""
    shown = [found.number for found in verdict.best_first if found.number in verdict.confirmed]
    shown += [number for number in verdict.tested if number not in shown]
    figure = Figure(figsize=(8, 3.5), layout="constrained")
    axes = figure.subplots()
    seen = {found.number: found.mean(verdict.metric) for found in verdict.screened}
    places = [place for place, number in enumerate(shown) if number in seen]
    axes.plot(places, [_find_drawn(seen[shown[place]]) for place in places], "D", color="0.6")
    for color, shift, samples in (("C0", 0.12, verdict.confirmed), ("C2", 0.24, verdict.tested)):
        for number in (number for number in shown if number in samples):
            values, x = samples[number].values(verdict.metric), shown.index(number) + shift
            axes.plot([x] * len(values), values, ".", color=color, alpha=0.5)
            axes.plot([x, x], bootstrap_interval(values) or (np.nan, np.nan), color=color)
            axes.plot(x, _find_drawn(samples[number].mean(verdict.metric)), "s", color=color)
    marks = (("D", "0.6", "search"), ("s", "C0", "confirmed"), ("s", "C2", "tested"))
    axes.legend([Line2D([], [], marker=m, color=c, linestyle="") for m, c, _ in marks], [name for *_, name in marks])
    axes.set_xticks(
        range(len(shown)), ["default" if k == DEFAULT else name_configuration(k) for k in shown], fontsize="small"
    )
    axes.set(ylabel=verdict.metric)
    save_png(figure, path)


def training_success(trial: Trial) -> Iterator[tuple[list[float], list[float]]]:
    """Yield env steps [million] and running success rate of each training seed; skip unreadable curves."""
    for path in trial.progress_files:
        try:
            curve = read_curve(path)
        except CurveError as error:
            log.warning("left out: %s", error)
            continue
        if curve is not None:
            yield (curve.env_steps / 1e6).tolist(), curve.success_rate.tolist()


def _write_label(trial: Trial) -> str:
    text = format_params(trial.params)
    return text if len(text) <= LONGEST_LABEL else f"trial {trial.number}"


def save_png(figure: Figure, path: Path) -> None:
    """Write a figure atomically."""
    content = io.BytesIO()
    figure.savefig(content, dpi=DPI, format="png")
    write_atomically(path, content.getvalue())
