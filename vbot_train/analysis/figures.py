"""Figures of a study, as PNG."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from vbot_train.analysis.importance import Importance
from vbot_train.analysis.ranking import shown
from vbot_train.analysis.trials import Trial

LONGEST_LABEL = 60  # characters; beyond it the number of the trial must do
CURVES = 10  # trials drawn in colour, best first


def draw_figures(
    ranked: Sequence[Trial], pruned: Sequence[Trial], metric: str, importance: Sequence[Importance], directory: Path
) -> None:
    """Write ``learning_curves.png``, and ``importance.png`` where there is an importance to show."""
    for old in directory.glob("*.png"):
        old.unlink(missing_ok=True)
    if ranked:
        draw_learning_curves(ranked, pruned, directory / "learning_curves.png")
    if any(row.importance is not None for row in importance):
        draw_importance(metric, importance, directory / "importance.png")


def draw_learning_curves(ranked: Sequence[Trial], pruned: Sequence[Trial], path: Path) -> None:
    """Success rate of the training episodes against env steps, the best trials in colour, pruned ones dotted."""
    figure, axes = plt.subplots(figsize=(8, 4), layout="constrained")
    for rank, trial in enumerate(ranked):
        color, label = (f"C{rank}", _label(trial)) if rank < CURVES else ("0.85", None)
        for steps, success in training_success(trial):
            axes.plot(steps, success, zorder=-rank, color=color, label=label)
            label = None  # further seeds of the same trial
    for steps, success in (curve for trial in pruned for curve in training_success(trial)):
        axes.plot(steps, success, zorder=-len(ranked), color="0.6", linestyle=":")
    axes.set(xlabel="training env steps [million]", ylabel="success rate of training episodes", ylim=(-0.02, 1.02))
    axes.legend(title="best first" + (", pruned dotted" if pruned else ""), fontsize="small", loc="upper left")
    _save(figure, path)


def draw_importance(metric: str, importance: Sequence[Importance], path: Path) -> None:
    """Importance of each parameter with its 90 % interval."""
    rows = [row for row in importance if row.importance is not None and row.interval_90 is not None][::-1]
    figure, axes = plt.subplots(figsize=(8, 0.4 * len(rows) + 1), layout="constrained")
    names = [row.parameter for row in rows]
    axes.barh(names, [row.importance or 0.0 for row in rows], color="C0", alpha=0.6)
    for y, row in enumerate(rows):
        axes.plot(row.interval_90 or (), (y, y), color="0.2")
    axes.set(xlabel=f"importance for {metric}, with 90 % bootstrap interval", xlim=(0, 1))
    _save(figure, path)


def training_success(trial: Trial) -> Iterator[tuple[list[float], list[float]]]:
    """Env steps [million] and running success rate of each training seed."""
    for path in trial.progress_files:
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        yield [int(row["env_steps"]) / 1e6 for row in rows], [float(row["success_rate"]) for row in rows]


def _label(trial: Trial) -> str:
    text = shown(trial.params)
    return text if len(text) <= LONGEST_LABEL else f"trial {trial.number}"


def _save(figure: Figure, path: Path) -> None:
    temporary = path.with_name(f".{path.name}")
    figure.savefig(temporary, dpi=120, format="png")
    plt.close(figure)
    temporary.replace(path)
