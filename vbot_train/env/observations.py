"""The 54 numbers of the policy's observation."""

import math
from functools import cache

import torch
from torch import Tensor

from vbot_train.env.state import RobotState

DEADBAND_RAD = math.radians(8.0)  # below this bearing the yaw rate command is 0
STOPPED_RAD_S = 0.05  # a robot with a lower yaw rate counts as stopped
RANGE_M = 12.0  # scale of distances: the platform's radius, rounded

SCALES = (  # (factor, count of numbers that it applies to)
    (2.0, 3),  # base linear velocity
    (0.25, 3),  # base angular velocity
    (1.0, 15),  # projected gravity, joint position
    (0.05, 12),  # joint velocity
    (1.0, 12),  # action
    (2.0, 2),  # velocity command
    (0.25, 1),  # yaw rate command
    (1 / RANGE_M, 2),  # goal error
    (1 / math.pi, 1),  # bearing
    (1 / RANGE_M, 1),  # distance
    (1.0, 2),  # reached, stopped
)
SIZE = sum(count for _, count in SCALES)  # 54


def observe(state: RobotState) -> Tensor:
    """Build the observation; the layout is in the task card of ``NavigationEnv``. Returns (E, 54)."""
    reached = state.goal_reached.unsqueeze(1).float()
    stopped = reached * (state.base_ang_vel_b[:, 2:3].abs() < STOPPED_RAD_S)
    parts = (
        state.base_lin_vel_b,
        state.base_ang_vel_b,
        state.projected_gravity_b,
        state.joint_pos,
        state.joint_vel,
        state.action,
        compute_velocity_command(state),
        state.goal_error_b,
        state.goal_bearing.unsqueeze(1),
        state.goal_distance.unsqueeze(1).clamp(max=RANGE_M),
        reached,
        stopped,
    )
    return torch.cat(parts, dim=1) * _get_scale(state.base_pos.device)


@cache
def _get_scale(device: torch.device) -> Tensor:
    """Return the scale factor of each number (54,)."""
    return torch.tensor([factor for factor, count in SCALES for _ in range(count)], device=device)


def compute_velocity_command(state: RobotState) -> Tensor:
    """Compute the velocity command to the goal: 1 m/s per metre of error, 1 rad/s per radian of bearing, clipped at 1.

    Zero inside the goal radius. Returns (E, 3): forward and left [m/s], yaw rate [rad/s].
    """
    turn = state.goal_bearing.clamp(-1.0, 1.0) * (state.goal_bearing.abs() > DEADBAND_RAD)
    command = torch.cat([state.goal_error_b.clamp(-1.0, 1.0), turn.unsqueeze(1)], dim=1)
    return command * (~state.goal_reached).unsqueeze(1)
