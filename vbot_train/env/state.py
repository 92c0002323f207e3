"""The robots' state, which observations, rewards and terminations are computed from, in SI units."""

from dataclasses import dataclass

from torch import Tensor


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
