"""Figure of a comparison, as PNG."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vbot_train.analysis.curves import BestSoFar, Curve, mean_curve
from vbot_train.analysis.figures import save_png

THIN, THICK = 0.6, 2.0  # [pt]
MILLION = 1e6


def draw_comparison(
    names: Sequence[str], curves: Sequence[Sequence[Curve]], climbs: Mapping[int, BestSoFar], metric: str, path: Path
) -> None:
    """Draw the learning curves and, for two or more searches, their best-so-far curves.

    Args:
        names: Names of the sides, for the legend; each side has one colour.
        curves: Learning curves of each side, one per training seed.
        climbs: Best-so-far curves of the searches, by index of the side.
        metric: Metric of the best-so-far curves.
        path: Path of the PNG.
    """
    searches = len(climbs) > 1
    figure = Figure(figsize=(8, 9 if searches else 6), layout="constrained")
    success, reward, *below = figure.subplots(3 if searches else 2, 1)
    for color, (name, seeds) in enumerate(zip(names, curves, strict=True)):
        draw_curves(success, "success_rate", seeds, f"C{color}", name)
        draw_curves(reward, "reward", seeds, f"C{color}", name)
    success.set(ylabel="success rate of training episodes", ylim=(-0.02, 1.02))
    reward.set(xlabel="training env steps [million]", ylabel="reward per training episode")
    for axes in below:
        draw_climbs(axes, names, climbs)
        axes.set(xlabel="training env steps of all trials [million]", ylabel=f"best {metric} so far")
    figure.legend(*success.get_legend_handles_labels(), loc="outside upper center", fontsize="small")
    save_png(figure, path)


def draw_curves(axes: Axes, quantity: str, curves: Sequence[Curve], color: str, name: str) -> None:
    """Draw thin curves of the seeds of one side, and their thick mean up to the end of the shortest curve."""
    if not curves:
        axes.plot([], [], color=color, label=f"{name} (no learning curve)", linewidth=THICK)
        return
    if len(curves) > 1:
        for curve in curves:
            axes.plot(curve.env_steps / MILLION, getattr(curve, quantity), color=color, linewidth=THIN)
    shortest = min(curves, key=lambda curve: float(curve.env_steps[-1]))
    mean = mean_curve(curves, shortest.env_steps)
    axes.plot(mean.env_steps / MILLION, getattr(mean, quantity), color=color, label=name, linewidth=THICK)


def draw_climbs(axes: Axes, names: Sequence[str], climbs: Mapping[int, BestSoFar]) -> None:
    """Draw the best-so-far curve of each search."""
    for i, best_so_far in climbs.items():
        values = [math.nan if value is None else value for value in best_so_far.best]
        axes.step(np.array(best_so_far.env_steps) / MILLION, values, where="post", color=f"C{i}", label=names[i])
