"""How episodes ended, and from which starts."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from vbot_train.env.episodes import Episodes

OUTCOMES = ("reached", "fell", "left", "timed_out")
DISTANCE_BINS = 4
BEARING_EDGES_DEG = (0.0, 45.0, 135.0, 180.0)  # of the goal, left or right: ahead, to the side, behind

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Cell:
    """The episodes that started at some distance and bearing from the goal; None stands for any."""

    distance_m: Range | None
    bearing_deg: Range | None
    episodes: int
    counts: dict[str, int]  # by outcome


def classify_outcomes(episodes: Episodes) -> Tensor:
    """How each episode ended, (K,) index into ``OUTCOMES``. A robot that reached the goal and fell has fallen."""
    ended = torch.where(episodes.reached, OUTCOMES.index("reached"), OUTCOMES.index("timed_out"))
    ended = torch.where(episodes.left, OUTCOMES.index("left"), ended)
    return torch.where(episodes.fell, OUTCOMES.index("fell"), ended)


def count_outcomes(episodes: Episodes, *, min_radius_m: float, max_radius_m: float) -> list[Cell]:
    """Count outcomes by start: all, by bearing, and the same for each distance.

    Args:
        episodes: At least one.
        min_radius_m: Where the bins of distance begin.
        max_radius_m: Where they end.
    """
    step_m = (max_radius_m - min_radius_m) / DISTANCE_BINS
    edges_m = [min_radius_m + k * step_m for k in range(DISTANCE_BINS)] + [max_radius_m]
    distance = find_bins(episodes.start_distance_m, edges_m)
    bearing = find_bins(episodes.start_bearing_rad.abs(), [math.radians(edge) for edge in BEARING_EDGES_DEG])
    ended = classify_outcomes(episodes)
    cells = []
    for i, distance_m in [(None, None), *enumerate(pairwise(edges_m))]:
        for j, bearing_deg in [(None, None), *enumerate(pairwise(BEARING_EDGES_DEG))]:
            here = torch.ones_like(ended, dtype=torch.bool)
            if i is not None:
                here &= distance == i
            if j is not None:
                here &= bearing == j
            counts = torch.bincount(ended[here], minlength=len(OUTCOMES)).tolist()
            cells.append(Cell(distance_m, bearing_deg, sum(counts), dict(zip(OUTCOMES, counts, strict=True))))
    return cells


def find_bins(values: Tensor, edges: Sequence[float]) -> Tensor:
    """The bin of each value (K,). A value on an edge is in the upper bin; one outside, in the first or the last."""
    return torch.bucketize(values, torch.tensor(edges[1:-1]), right=True)
