"""The metrics of a run, which a search may optimize."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric of a run."""

    direction: Literal["maximize", "minimize"]
    unit: str = ""

    @property
    def is_maximized(self) -> bool:
        """Whether higher is better."""
        return self.direction == "maximize"

    @property
    def sign(self) -> int:
        """Factor after which higher is better."""
        return 1 if self.is_maximized else -1

    @property
    def worst(self) -> float:
        """The infinity that is worse than every value."""
        return -self.sign * math.inf

    @property
    def better(self) -> str:
        """Which values are better, in a word."""
        return "higher" if self.is_maximized else "lower"

    def accumulate_best(self, values: Sequence[float]) -> NDArray[np.float64]:
        """Return the best value so far (N,) at each of (N,) values."""
        return (np.maximum if self.is_maximized else np.minimum).accumulate(np.asarray(values, dtype=float))


METRICS: dict[str, Metric] = {
    "episode_reward_mean": Metric("maximize"),
    "success_rate": Metric("maximize"),
    "fall_rate": Metric("minimize"),
    "out_of_bounds_rate": Metric("minimize"),
    "time_to_goal_s": Metric("minimize", "s"),
    "final_distance_m": Metric("minimize", "m"),
    "episode_length_mean": Metric("maximize", "s"),
    "env_steps_to_success": Metric("minimize", "env steps"),
    "stage1_points": Metric("maximize", "points"),
}
