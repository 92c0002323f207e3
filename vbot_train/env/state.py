"""The robots' state, which observations, rewards and terminations are computed from, in SI units."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from vbot_train.config.tasks import Navigation
from vbot_train.env.frames import (
    compute_bearing,
    compute_goal_error,
    compute_projected_gravity,
    compute_rotation,
    to_body_frame,
)


@dataclass(slots=True)
class RobotState:
    """A batch of E robots after one control step; J = 12 joints, in the order FR, FL, RR, RL x hip, thigh, calf.

    World frame unless the name ends in ``_b`` (body frame). Quantities with a history (start distance, first events)
    refer to the current episode.
    """

    base_pos: Tensor  # (E, 3) [m]
    base_lin_vel: Tensor  # (E, 3) [m/s], world frame
    base_lin_vel_b: Tensor  # (E, 3) [m/s]
    base_ang_vel_b: Tensor  # (E, 3) [rad/s]
    projected_gravity_b: Tensor  # (E, 3) unit vector: (0, 0, -1) when upright
    joint_pos: Tensor  # (E, J) [rad], relative to the standing pose
    joint_vel: Tensor  # (E, J) [rad/s]
    prev_joint_vel: Tensor  # (E, J) [rad/s], one control step ago
    torque: Tensor  # (E, J) [N m]
    base_contact: Tensor  # (E,) bool: trunk or head touches the ground
    action: Tensor  # (E, J) smoothed action, in [-1, 1]
    prev_action: Tensor  # (E, J) smoothed action one control step ago
    goal_error_b: Tensor  # (E, 2) [m], goal minus base, in the robot's heading frame (yaw only)
    goal_distance: Tensor  # (E,) [m], horizontal
    goal_speed: Tensor  # (E,) [m/s], decrease of the distance to the goal over the last control step
    start_distance: Tensor  # (E,) [m], at the start of the episode
    goal_bearing: Tensor  # (E,) [rad], 0 when the robot faces the goal, in [-pi, pi]
    goal_reached: Tensor  # (E,) bool: inside the goal radius now
    goal_reached_before: Tensor  # (E,) bool: inside it now or earlier in this episode
    goal_reached_for_s: Tensor  # (E,) [s] since the first arrival, 0 before it
    first_arrival: Tensor  # (E,) bool: first control step of this episode inside the goal radius
    first_fence: Tensor  # (E,) bool: first control step of this episode inside the inner fence
    terminated: Tensor  # (E,) bool: the episode ended in failure at this control step


class Measured(Protocol):
    """What is measured of E robots; see ``Simulation``, which measures all of its robots."""

    qpos: Tensor  # (E, 7 + J)
    qvel: Tensor  # (E, 6 + J)
    torque: Tensor  # (E, J) [N m]
    base_contact: Tensor  # (E,) bool


@dataclass(frozen=True, slots=True)
class History:
    """What the state of E robots depends on beside the measurements: their actions and their running episodes."""

    action: Tensor  # (E, J) smoothed action
    prev_action: Tensor  # (E, J) the same one control step ago
    prev_joint_vel: Tensor  # (E, J) [rad/s], one control step ago
    distance: Tensor  # (E,) [m] to the goal, one control step ago
    start_distance: Tensor  # (E,) [m], at the start of the episode
    arrived: Tensor  # (E,) bool: inside the goal radius earlier in this episode
    arrived_for_s: Tensor  # (E,) [s] since the first arrival, 0 before it
    fenced: Tensor  # (E,) bool: inside the inner fence earlier in this episode


def build_state(measured: Measured, history: History, *, config: Navigation, standing_joint_pos: Tensor) -> RobotState:
    """Build the state of E robots, before the terminations of this control step are evaluated.

    Args:
        measured: The simulation, or measurements of other robots.
        history: Of the same robots.
        config: The radii around the goal, and the duration of a control step.
        standing_joint_pos: (J,) [rad]
    """
    qpos, qvel = measured.qpos, measured.qvel
    rotation = compute_rotation(qpos[:, 3:7])
    error_b, distance = compute_goal_error(qpos, rotation), compute_distance(qpos)
    reached = distance < config.goal_radius_m
    return RobotState(
        base_pos=qpos[:, :3],
        base_lin_vel=qvel[:, :3],
        base_lin_vel_b=to_body_frame(rotation, qvel[:, :3]),
        base_ang_vel_b=qvel[:, 3:6],
        projected_gravity_b=compute_projected_gravity(rotation),
        joint_pos=qpos[:, 7:] - standing_joint_pos,
        joint_vel=qvel[:, 6:],
        prev_joint_vel=history.prev_joint_vel,
        torque=measured.torque,
        base_contact=measured.base_contact,
        action=history.action,
        prev_action=history.prev_action,
        goal_error_b=error_b,
        goal_distance=distance,
        goal_speed=(history.distance - distance) / config.control_dt_s,
        start_distance=history.start_distance,
        goal_bearing=compute_bearing(error_b),
        goal_reached=reached,
        goal_reached_before=history.arrived | reached,
        goal_reached_for_s=history.arrived_for_s,
        first_arrival=reached & ~history.arrived,
        first_fence=(distance < config.inner_fence_radius_m) & ~history.fenced,
        terminated=torch.zeros_like(reached),
    )


def compute_distance(qpos: Tensor) -> Tensor:
    """Compute the horizontal distance of the base to the goal, the origin. Returns (E,) [m]."""
    return torch.linalg.vector_norm(qpos[:, :2], dim=1)


@dataclass(slots=True)
class AtRest:
    """Measurements of robots that stand still; see ``Measured``."""

    qpos: Tensor
    qvel: Tensor
    torque: Tensor
    base_contact: Tensor


def build_state_at_rest(pose: Tensor, *, config: Navigation, standing_joint_pos: Tensor) -> RobotState:
    """Build the state of robots at the start of an episode.

    Args:
        pose: (K, 7 + J), as in ``Simulation.qpos``.
        config: One option of ``conf/env/``.
        standing_joint_pos: (J,) [rad]
    """
    still = pose.new_zeros(len(pose), pose.shape[1] - 1)  # 6 + J velocities
    zero, zero_joints, distance = still[:, 0], still[:, 6:], compute_distance(pose)
    no = torch.zeros_like(zero, dtype=torch.bool)
    history = History(
        action=zero_joints,
        prev_action=zero_joints,
        prev_joint_vel=zero_joints,
        distance=distance,
        start_distance=distance,
        arrived=no,
        arrived_for_s=zero,
        fenced=no,
    )
    measured = AtRest(qpos=pose, qvel=still, torque=zero_joints, base_contact=no)
    return build_state(measured, history, config=config, standing_joint_pos=standing_joint_pos)
