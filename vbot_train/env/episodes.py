"""What the task gives back: control steps, and the episodes that ended with them; and what it notes until they do."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from vbot_train.env.state import RobotState


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


class RunningEpisodes:
    """What is noted of the episode that each robot is in.

    Args:
        num_envs: Number of robots E.
        terms: Reward terms T.
        control_dt_s: Duration of a control step [s].
        device: Where the robots live.
    """

    def __init__(self, num_envs: int, terms: int, control_dt_s: float, device: torch.device) -> None:
        robots = (num_envs,)
        self._control_dt_s = control_dt_s
        self.steps = torch.zeros(robots, dtype=torch.long, device=device)
        self.first_step = torch.zeros(robots, dtype=torch.long, device=device)  # above 0 in a staggered first episode
        self.arrival_step = torch.full(robots, -1, device=device)  # control step of the first arrival, -1 before it
        self.fenced = torch.zeros(robots, dtype=torch.bool, device=device)
        self.distance = torch.zeros(robots, device=device)
        self.start_distance = torch.zeros(robots, device=device)
        self.start_bearing = torch.zeros(robots, device=device)
        self.returns = torch.zeros(terms, num_envs, device=device)

    def begin(self, index: Tensor, distance: Tensor, bearing: Tensor) -> None:
        """Note that the robots at ``index`` (K,) start, so far from the goal (K,) [m], at that bearing (K,) [rad]."""
        self.steps[index] = self.first_step[index] = 0
        self.arrival_step[index] = -1
        self.fenced[index] = False
        self.distance[index] = self.start_distance[index] = distance
        self.start_bearing[index] = bearing
        self.returns[:, index] = 0.0

    def note_progress(self, state: RobotState) -> None:
        """Note who is at the goal, or near it, for the first time."""
        self.arrival_step = torch.where(state.first_arrival, self.steps, self.arrival_step)
        self.fenced = self.fenced | state.first_fence

    def sum_up(self, index: Tensor, fell: Tensor, left: Tensor) -> Episodes:
        """Sum up the episodes of the robots at ``index`` (K,); who fell and who left are (E,)."""
        arrival, first = self.arrival_step[index], self.first_step[index]
        return Episodes(
            robot=index,
            reward=self.returns[:, index].sum(dim=0),
            reward_terms=self.returns[:, index].T,
            length_s=(self.steps[index] - first) * self._control_dt_s,
            reached=arrival >= 0,
            fenced=self.fenced[index],
            fell=fell[index],
            left=left[index],
            time_to_goal_s=torch.where(arrival >= 0, (arrival - first) * self._control_dt_s, torch.nan),
            final_distance_m=self.distance[index],
            start_distance_m=self.start_distance[index],
            start_bearing_rad=self.start_bearing[index],
        )

    def state_dict(self) -> dict[str, Tensor]:
        """A copy of all of it."""
        return {name: value.clone() for name, value in vars(self).items() if isinstance(value, Tensor)}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what ``state_dict`` told of as many robots."""
        for name in self.state_dict():
            getattr(self, name).copy_(state[name])
