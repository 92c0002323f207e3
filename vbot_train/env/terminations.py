"""Failure conditions that end an episode: pure functions from the robots' state to one bool per robot."""

import math

from torch import Tensor

from vbot_train.env.state import RobotState


def is_tilted(state: RobotState, *, max_tilt_deg: float) -> Tensor:
    """Whether the trunk tilts more than ``max_tilt_deg`` from upright, up to upside down. Returns (E,) bool."""
    return -state.projected_gravity_b[:, 2] < math.cos(math.radians(max_tilt_deg))


def is_touching(state: RobotState) -> Tensor:
    """Whether the trunk or the head touches the ground. Returns (E,) bool."""
    return state.base_contact


def is_off_platform(state: RobotState, *, platform_radius_m: float) -> Tensor:
    """Whether the base is beyond the edge of the platform. Returns (E,) bool."""
    return state.base_pos[:, :2].square().sum(dim=1) > platform_radius_m**2
