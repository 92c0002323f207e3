"""Results of a control step, statistics of finished episodes, and the counters of running ones."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from vbot_train.env.state import RobotState


@dataclass(frozen=True, slots=True)
class Episodes:
    """Statistics of K finished episodes."""

    robot: Tensor  # (K,) index of the robot
    reward: Tensor  # (K,) sum of the rewards
    reward_terms: Tensor  # (K, T) sum per reward term, in the order of the reward config
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
    """Result of a control step of E robots.

    Robots whose episode ended have been reset: their ``observation`` is the first of the new episode, their
    ``final_observation`` the last of the old one. For all other robots the two are equal.
    """

    observation: Tensor  # (E, N)
    final_observation: Tensor  # (E, N)
    reward: Tensor  # (E,)
    terminated: Tensor  # (E,) bool: ended in failure
    truncated: Tensor  # (E,) bool: ended by the time limit
    episodes: Episodes


class RunningEpisodes:
    """Counters and sums of each robot's running episode.

    Args:
        num_envs: Number of robots E.
        terms: Reward terms T.
        control_dt_s: Duration of a control step [s].
        device: Device of the robots' tensors.
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
        """Start episodes of the robots at ``index`` (K,), at a distance (K,) [m] and bearing (K,) [rad] of the goal."""
        self.steps[index] = self.first_step[index] = 0
        self.arrival_step[index] = -1
        self.fenced[index] = False
        self.distance[index] = self.start_distance[index] = distance
        self.start_bearing[index] = bearing
        self.returns[:, index] = 0.0

    def note_progress(self, state: RobotState) -> None:
        """Record first arrivals in the goal radius and in the inner fence."""
        self.arrival_step = torch.where(state.first_arrival, self.steps, self.arrival_step)
        self.fenced = self.fenced | state.first_fence

    def sum_up(self, index: Tensor, fell: Tensor, left: Tensor) -> Episodes:
        """Return statistics of the episodes of the robots at ``index`` (K,); ``fell`` and ``left`` are (E,) bool."""
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
        """Return a copy of all counters and sums."""
        return {name: value.clone() for name, value in vars(self).items() if isinstance(value, Tensor)}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore the result of ``state_dict`` of the same number of robots."""
        for name in self.state_dict():
            getattr(self, name).copy_(state[name])
