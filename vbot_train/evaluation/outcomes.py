"""Outcomes of episodes, counted by start distance and bearing."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from vbot_train.env.episodes import Episodes

OUTCOMES = ("reached", "fell", "left", "timed_out")
DISTANCE_BINS = 4
BEARING_EDGES_DEG = (0.0, 45.0, 135.0, 180.0)  # absolute bearing of the goal: ahead, to the side, behind

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Cell:
    """The episodes that started in one range of distance and bearing; None means the full range."""

    distance_m: Range | None
    bearing_deg: Range | None
    episodes: int
    counts: dict[str, int]  # by outcome


def classify_outcomes(episodes: Episodes) -> Tensor:
    """Classify each episode, (K,) index into ``OUTCOMES``. Reaching the goal and then falling counts as ``fell``."""
    ended = torch.where(episodes.reached, OUTCOMES.index("reached"), OUTCOMES.index("timed_out"))
    ended = torch.where(episodes.left, OUTCOMES.index("left"), ended)
    return torch.where(episodes.fell, OUTCOMES.index("fell"), ended)


def count_outcomes(episodes: Episodes, *, min_radius_m: float, max_radius_m: float) -> list[Cell]:
    """Count outcomes for all starts and for each bearing range, then the same within each distance range.

    Args:
        episodes: At least one episode.
        min_radius_m: Lower edge of the first distance bin [m].
        max_radius_m: Upper edge of the last distance bin [m].
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
    """Return the bin of each value (K,): on an edge the upper bin, outside the edges the first or the last bin."""
    return torch.bucketize(values, torch.tensor(edges[1:-1]), right=True)
