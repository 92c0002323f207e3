"""The 54 numbers of the policy's observation."""

import math
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from vbot_train.env.state import RobotState

DEADBAND_RAD = math.radians(8.0)  # below this bearing the yaw rate command is 0
STOPPED_RAD_S = 0.05  # a robot with a lower yaw rate counts as stopped
RANGE_M = 12.0  # scale of distances: the platform's radius, rounded
JOINTS = 12


class Part(NamedTuple):
    """Neighbouring numbers of the observation: each is the quantity times ``scale``."""

    name: str
    size: int
    unit: str  # of the quantity; "1" if it has none
    scale: float  # [1 / unit]
    meaning: str


LAYOUT = (  # in the order of the observation
    Part("base_lin_vel_b", 3, "m/s", 2.0, "linear velocity of the base, body frame"),
    Part("base_ang_vel_b", 3, "rad/s", 0.25, "angular velocity of the base, body frame"),
    Part("projected_gravity_b", 3, "1", 1.0, "direction of gravity, body frame"),
    Part("joint_pos", JOINTS, "rad", 1.0, "joint position - default_joint_position"),
    Part("joint_vel", JOINTS, "rad/s", 0.05, "joint velocity"),
    Part("action", JOINTS, "1", 1.0, "smoothed action of the last control step, 0 at the start"),
    Part("velocity_command", 2, "m/s", 2.0, "goal_error_b clipped to [-1, 1]; 0 if goal_reached"),
    Part(
        "yaw_rate_command",
        1,
        "rad/s",
        0.25,
        f"goal_bearing clipped to [-1, 1]; 0 if goal_reached or within {DEADBAND_RAD:.4f} rad",
    ),
    Part("goal_error_b", 2, "m", 1 / RANGE_M, "goal - base, forward and left, in the world frame turned by the yaw"),
    Part("goal_bearing", 1, "rad", 1 / math.pi, "bearing of the goal, 0 ahead, positive to the left"),
    Part("goal_distance", 1, "m", 1 / RANGE_M, f"horizontal distance to the goal, at most {RANGE_M:g} m"),
    Part("goal_reached", 1, "1", 1.0, "1 inside the goal radius, else 0"),
    Part("goal_stopped", 1, "1", 1.0, f"1 if goal_reached and turning slower than {STOPPED_RAD_S:g} rad/s, else 0"),
)
SIZE = sum(part.size for part in LAYOUT)  # 54


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
    return torch.tensor([part.scale for part in LAYOUT for _ in range(part.size)], device=device)


def compute_velocity_command(state: RobotState) -> Tensor:
    """Compute the velocity command to the goal: 1 m/s per metre of error, 1 rad/s per radian of bearing, clipped at 1.

    Zero inside the goal radius. Returns (E, 3): forward and left [m/s], yaw rate [rad/s].
    """
    turn = state.goal_bearing.clamp(-1.0, 1.0) * (state.goal_bearing.abs() > DEADBAND_RAD)
    command = torch.cat([state.goal_error_b.clamp(-1.0, 1.0), turn.unsqueeze(1)], dim=1)
    return command * (~state.goal_reached).unsqueeze(1)
