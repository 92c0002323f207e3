"""Recorded results of trainings as a search space: a table of cells, each with its curves, to search without training.

``read_landscapes`` reads final values without noise, to which it adds some; ``read_curves`` reads curves of several
seeds. Values are scaled: 0 is the median of the cells' true values, 1 the best.
"""

import csv
import gzip
import itertools
import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution

from vbot_train.search.space.space import Candidate

Cell = tuple[float, ...]
NOISE = 0.5  # standard deviation of one seed, in interquartile ranges of the true values; see the data's description
CURVE_COLUMNS = ("seed", "step", "value")


@dataclass
class Recorded:
    """Recorded results of one task.

    Args:
        name: Of the task.
        keys: Names of the parameters.
        truth: True value of each cell; a cell that diverged has none.
        curves: Curves of each cell, one per seed, each with its values at equal shares of the training; None diverged.
        noise: Standard deviation that is added to a final value.
        residuals: Differences of curves to the mean curve of their cell, for cells with a single seed.
    """

    name: str
    keys: tuple[str, ...]
    truth: dict[Cell, float]
    cells: list[Cell]
    curves: dict[Cell, list[list[float] | None]] = field(default_factory=dict)
    noise: float = 0.0
    residuals: list[list[float]] = field(default_factory=list)

    @property
    def values(self) -> list[list[float]]:
        """The values of each parameter, in increasing order."""
        return [sorted(set(column)) for column in zip(*self.cells, strict=True)]

    def score(self, cell: Cell | None) -> float:
        """Scaled true value of a pick; without a pick that of the median cell, of a diverged one that of the worst."""
        known = list(self.truth.values())
        low, high = statistics.median(known), max(known)
        value = low if cell is None else self.truth.get(cell, min(known))
        return (value - low) / (high - low)

    def observe(self, cell: Cell, random: np.random.Generator) -> list[float] | None:
        """Draw a training of a cell: its values at equal shares, the last of them final. None: it diverges."""
        if cell not in self.curves:
            value = self.truth.get(cell)
            return None if value is None else [value + self.noise * random.standard_normal()]
        curves = self.curves[cell]
        curve = curves[random.integers(len(curves))]
        if curve is None or len(curves) > 1 or not self.residuals:
            return curve
        noise = self.residuals[random.integers(len(self.residuals))]
        return [value + other for value, other in zip(curve, noise, strict=True)]


class TableSpace:
    """The cells of recorded results."""

    seed = 0

    def __init__(self, recorded: Recorded) -> None:
        self.distributions: dict[str, BaseDistribution] = {
            key: CategoricalDistribution(values) for key, values in zip(recorded.keys, recorded.values, strict=True)
        }

    def compose_candidate(
        self, params: Mapping[str, Any], seed: int | None = None, *, shared: bool = False
    ) -> Candidate:
        """A point is its parameters."""
        return Candidate(dict(params), {}, {}, {}, [])


def read_landscapes(path: Path) -> list[Recorded]:
    """Read final values: the column ``landscape``, the parameters, and last the true value."""
    rows = read_rows(path, ("landscape",))
    keys, last = tuple(list(rows[0])[1:-1]), list(rows[0])[-1]
    truths: dict[str, dict[Cell, float]] = defaultdict(dict)
    for row in rows:
        truths[row["landscape"]][_cell(row, keys)] = float(row[last])
    cells = list_factorial({cell for truth in truths.values() for cell in truth})
    return [_landscape(name, keys, truth, cells) for name, truth in truths.items()]


def _landscape(name: str, keys: tuple[str, ...], truth: dict[Cell, float], cells: list[Cell]) -> Recorded:
    low, high = np.percentile(list(truth.values()), (25, 75))
    return Recorded(name, keys, truth, cells, noise=NOISE * float(high - low))


def read_curves(path: Path, episodes: int | None = None) -> Recorded:
    """Read curves: the parameters, then ``seed``, ``step`` and ``value``; more columns may follow.

    Args:
        path: The file.
        episodes: Take the values over so many held-out episodes (the column ``value_N``) at all but the last step.
    """
    rows = read_rows(path, CURVE_COLUMNS)
    keys = tuple(list(rows[0])[: list(rows[0]).index("seed")])
    column = "value" if episodes is None or f"value_{episodes}" not in rows[0] else f"value_{episodes}"
    found: dict[tuple[Cell, str], list[tuple[float, float, float]]] = defaultdict(list)
    for row in rows:
        found[_cell(row, keys), row["seed"]].append((float(row["step"]), float(row[column]), float(row["value"])))
    length = max(map(len, found.values()))
    curves: dict[Cell, list[list[float] | None]] = defaultdict(list)
    for (cell, _), steps in found.items():
        values = [value for _, value, _ in sorted(steps)]
        curves[cell].append(None if len(values) < length else [*values[:-1], max(steps)[2]])
    for cell in list_factorial(curves):
        curves[cell] = curves[cell] or [None]
    truth = {cell: means for cell, there in curves.items() if (means := _mean(there)) is not None}
    return Recorded(path.name, keys, truth, sorted(curves), dict(curves), residuals=_residuals(curves))


def list_factorial(cells: Iterable[Cell]) -> list[Cell]:
    """All combinations of the values; those without a row diverged before anything could be recorded."""
    return list(itertools.product(*(sorted(set(column)) for column in zip(*cells, strict=True))))


def _mean(curves: Sequence[list[float] | None]) -> float | None:
    """Mean final value over the seeds, None if one of them diverged."""
    finals = [curve[-1] for curve in curves if curve is not None]
    return statistics.fmean(finals) if len(finals) == len(curves) else None


def _residuals(curves: Mapping[Cell, Sequence[list[float] | None]]) -> list[list[float]]:
    """Differences of curves to the mean of their cell, without the bias of a mean over few."""
    found: list[list[float]] = []
    for there in curves.values():
        known = [np.array(curve) for curve in there if curve is not None]
        if len(known) > 1:
            scale = math.sqrt(len(known) / (len(known) - 1))
            found += [list(scale * (curve - np.mean(known, axis=0))) for curve in known]
    return found


def read_rows(path: Path, needed: Sequence[str]) -> list[dict[str, str]]:
    """Read a table, compressed or not.

    Raises:
        SystemExit: The file has no rows, or lacks columns.
    """
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if missing := [name for name in needed if not rows or name not in rows[0]]:
        raise SystemExit(f"{path}: has no column {', '.join(missing)}")
    return rows


def _cell(row: Mapping[str, str], keys: Sequence[str]) -> Cell:
    return tuple(float(row[key]) for key in keys)
