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
NEAR = 5  # noise grows with what was learnt: two seeds that stand still differ by 0.5, two that succeed by 8
CURVE_COLUMNS = ("seed", "step", "value")


@dataclass
class Recorded:
    """Recorded results of one task.

    Args:
        name: Of the task.
        keys: Names of the parameters.
        truth: True value of each cell; a cell that diverged has none.
        curves: Curves of each cell, one per seed, each with its values at equal shares of the training; one that is
            shorter than ``length`` diverged.
        length: Number of values of a whole curve.
        noise: Standard deviation that is added to a final value.
        residuals: Mean final values of cells with several seeds, each with the differences of its curves to their mean;
            a cell with a single seed draws its noise from those of NEAR cells with the nearest final values.
    """

    name: str
    keys: tuple[str, ...]
    truth: dict[Cell, float]
    cells: list[Cell]
    curves: dict[Cell, list[list[float]]] = field(default_factory=dict)
    length: int = 1
    noise: float = 0.0
    residuals: list[tuple[float, list[list[float]]]] = field(default_factory=list)

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

    def observe(self, cell: Cell, random: np.random.Generator) -> list[float]:
        """Draw a training of a cell: its values at equal shares, the last of them final. A shorter one diverges."""
        if cell not in self.curves:
            value = self.truth.get(cell)
            return [] if value is None else [value + self.noise * random.standard_normal()]
        curves = self.curves[cell]
        curve = curves[random.integers(len(curves))]
        if len(curve) < self.length or len(curves) > 1 or not self.residuals:
            return curve
        last = curve[-1]
        near = sorted(self.residuals, key=lambda there: abs(there[0] - last))[:NEAR]
        noise = random.choice([each for _, residuals in near for each in residuals])
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
    curves: dict[Cell, list[list[float]]] = defaultdict(list)
    for (cell, _), steps in found.items():
        values = [value for _, value, _ in sorted(steps)]
        curves[cell].append(values if len(values) < length else [*values[:-1], max(steps)[2]])
    for cell in list_factorial(curves):
        curves[cell] = curves[cell] or [[]]
    whole = {cell: there for cell, there in curves.items() if all(len(curve) == length for curve in there)}
    truth = {cell: statistics.fmean(curve[-1] for curve in there) for cell, there in whole.items()}
    residuals = _list_residuals(whole)
    return Recorded(path.name, keys, truth, sorted(curves), dict(curves), length, residuals=residuals)


def list_factorial(cells: Iterable[Cell]) -> list[Cell]:
    """All combinations of the values; those without a row diverged before anything could be recorded."""
    return list(itertools.product(*(sorted(set(column)) for column in zip(*cells, strict=True))))


def _list_residuals(curves: Mapping[Cell, Sequence[list[float]]]) -> list[tuple[float, list[list[float]]]]:
    """Mean final value and differences to the mean curve of each cell with several, unbiased although they are few."""
    found: list[tuple[float, list[list[float]]]] = []
    for there in curves.values():
        if len(there) > 1:
            scale, mean = math.sqrt(len(there) / (len(there) - 1)), np.mean(there, axis=0)
            found.append((float(mean[-1]), [list(scale * (np.array(curve) - mean)) for curve in there]))
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
