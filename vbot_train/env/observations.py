"""The 54 numbers that the policy sees."""

import math

import torch
from torch import Tensor

from vbot_train.env.state import RobotState

SIZE = 54
DEADBAND_RAD = math.radians(8.0)  # no turn is commanded below this bearing
STOPPED_RAD_S = 0.05  # a robot that turns slower than this counts as stopped
RANGE_M = 12.0  # scale of distances: the platform's radius, rounded


def observe(state: RobotState) -> Tensor:
    """Build the observation; the layout is in the task card of ``NavigationEnv``. Returns (E, 54)."""
    reached = state.goal_reached.unsqueeze(1).float()
    command = velocity_command(state)
    stopped = reached * (state.base_ang_vel_b[:, 2:3].abs() < STOPPED_RAD_S)
    return torch.cat(
        [
            state.base_lin_vel_b * 2.0,
            state.base_ang_vel_b * 0.25,
            state.projected_gravity_b,
            state.joint_pos,
            state.joint_vel * 0.05,
            state.action,
            command[:, :2] * 2.0,
            command[:, 2:] * 0.25,
            state.goal_error_b / RANGE_M,
            state.goal_bearing.unsqueeze(1) / math.pi,
            (state.goal_distance.unsqueeze(1) / RANGE_M).clamp(max=1.0),
            reached,
            stopped,
        ],
        dim=1,
    )


def velocity_command(state: RobotState) -> Tensor:
    """Straight to the goal: 1 m/s per metre of error up to 1 m/s, 1 rad/s per radian of bearing up to 1 rad/s.

    Zero inside the goal radius. Returns (E, 3): forward and left [m/s], yaw rate [rad/s].
    """
    turn = state.goal_bearing.clamp(-1.0, 1.0) * (state.goal_bearing.abs() > DEADBAND_RAD)
    command = torch.cat([state.goal_error_b.clamp(-1.0, 1.0), turn.unsqueeze(1)], dim=1)
    return command * (~state.goal_reached).unsqueeze(1)
