"""What the task gives back: control steps, and the episodes that ended with them."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True)
class Episodes:
    """K episodes that have just ended."""

    robot: Tensor  # (K,) index of the robot
    reward: Tensor  # (K,) sum of the rewards
    reward_terms: Tensor  # (K, T) the same by term, in the order of the reward config
    length_s: Tensor  # (K,) [s]
    reached: Tensor  # (K,) bool: was inside the goal radius
    fenced: Tensor  # (K,) bool: was inside the inner fence
    fell: Tensor  # (K,) bool: tilted, touched the ground or became unstable
    left: Tensor  # (K,) bool: left the platform
    time_to_goal_s: Tensor  # (K,) [s], NaN where the goal was not reached
    final_distance_m: Tensor  # (K,) [m]
    start_distance_m: Tensor  # (K,) [m]
    start_bearing_rad: Tensor  # (K,) [rad], 0 where the robot faced the goal, in [-pi, pi]


@dataclass(frozen=True, slots=True)
class Step:
    """What a control step gives back. Robots whose episode ended have been reset: ``observation`` is the new
    episode's first, ``final_observation`` the old one's last; for all others the two are equal.
    """

    observation: Tensor  # (E, 54)
    final_observation: Tensor  # (E, 54)
    reward: Tensor  # (E,)
    terminated: Tensor  # (E,) bool: ended in failure
    truncated: Tensor  # (E,) bool: ended by the time limit
    episodes: Episodes
