"""Reward terms: pure functions from the robots' state to one number per robot.

E robots are simulated side by side, J = 12 joints. A term has no sign and no scale of its own: both live in its
``weight`` in ``conf/reward/``. A term is a rate, weighted per second of simulated time, or an event, which counts
once, unscaled. The formulas are those of the predecessor's section 001, with its defects fixed.
A new term also needs a field of ``config.reward_terms.Reward``, with its arguments, and a line in
``conf/reward/default.yaml``, with weight 0 if it is not used.
"""

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor

from vbot_train.config.reward_terms import (
    Approach,
    Boundary,
    Departure,
    DistanceProgress,
    FinePositionTracking,
    ForwardVelocity,
    HeadingTracking,
    NearTargetSpeed,
    PositionTracking,
    Stopping,
    Term,
    ZeroTurning,
)
from vbot_train.env.state import RobotState

Kernel = TypeVar("Kernel", bound=Callable[..., Tensor])

TERMS: dict[str, Callable[..., Tensor]] = {}
EVENTS: set[str] = set()


def rate(arguments: type[Term]) -> Callable[[Kernel], Kernel]:
    """Register a kernel, under its function's name, as a rate: weighted per second of simulated time.

    Args:
        arguments: Model of the kernel's keyword arguments, without ``weight``.
    """
    return partial(_register, arguments)


def event(arguments: type[Term]) -> Callable[[Kernel], Kernel]:
    """Register a kernel, under its function's name, as an event: it counts once, unscaled. See ``rate``."""

    def register(kernel: Kernel) -> Kernel:
        EVENTS.add(kernel.__name__)
        return _register(arguments, kernel)

    return register


def _register(arguments: type[Term], kernel: Kernel) -> Kernel:
    """Register a kernel.

    Raises:
        TypeError: Its keyword arguments are not those of its model.
    """
    keywords = inspect.getfullargspec(kernel).kwonlyargs
    if set(keywords) != arguments.model_fields.keys() - {"weight"}:
        raise TypeError(f"{kernel.__name__}: takes {keywords}, its model {arguments.__name__} has other fields")
    TERMS[kernel.__name__] = kernel
    return kernel


@rate(PositionTracking)
def position_tracking(state: RobotState, *, sigma_m: float) -> Tensor:
    """Closeness to the goal, ``exp(-d / sigma_m)``. Returns (E,) in (0, 1]."""
    return torch.exp(-state.goal_distance / sigma_m)


@rate(FinePositionTracking)
def fine_position_tracking(state: RobotState, *, sigma_m: float, range_m: float) -> Tensor:
    """``exp(-d / sigma_m)`` nearer than ``range_m``, once the goal has been reached. Returns (E,) in [0, 1]."""
    active = state.goal_reached_before & (state.goal_distance < range_m)
    return torch.exp(-state.goal_distance / sigma_m) * active


@rate(HeadingTracking)
def heading_tracking(state: RobotState, *, sigma_rad: float) -> Tensor:
    """Facing the goal, ``exp(-|bearing| / sigma_rad)``, outside the goal radius. Returns (E,) in [0, 1]."""
    return torch.exp(-state.goal_bearing.abs() / sigma_rad) * ~state.goal_reached


@rate(ForwardVelocity)
def forward_velocity(state: RobotState, *, min_m_s: float, max_m_s: float) -> Tensor:
    """Base velocity towards the goal, clipped, outside the goal radius. Returns (E,) [m/s]."""
    to_goal = -state.base_pos[:, :2] / state.goal_distance.clamp(min=1e-6).unsqueeze(1)
    speed = (state.base_lin_vel[:, :2] * to_goal).sum(dim=1)
    return speed.clamp(min_m_s, max_m_s) * ~state.goal_reached


@rate(DistanceProgress)
def distance_progress(state: RobotState, *, min_share: float, max_share: float) -> Tensor:
    """Share of the start distance already covered, clipped, outside the goal radius. Returns (E,)."""
    covered = 1 - state.goal_distance / state.start_distance.clamp(min=1e-6)
    return covered.clamp(min_share, max_share) * ~state.goal_reached


@rate(Term)
def alive_bonus(state: RobotState) -> Tensor:
    """1 for every robot whose episode continues. Returns (E,)."""
    return (~state.terminated).float()


@rate(Approach)
def approach(state: RobotState, *, max_m_s: float) -> Tensor:
    """Speed at which the distance shrinks, never negative, clipped, outside the goal radius. Returns (E,) [m/s]."""
    return state.goal_speed.clamp(0.0, max_m_s) * ~state.goal_reached


@rate(Approach)
def approach_ahead(state: RobotState, *, max_m_s: float) -> Tensor:
    """``approach`` times the cosine of the bearing, never negative: rewards walking forward. Returns (E,) [m/s]."""
    return approach(state, max_m_s=max_m_s) * torch.cos(state.goal_bearing).clamp(min=0.0)


@event(Term)
def arrival_bonus(state: RobotState) -> Tensor:
    """Event: 1 at the first control step of the episode inside the goal radius. Returns (E,)."""
    return state.first_arrival.float()


@event(Term)
def inner_fence_bonus(state: RobotState) -> Tensor:
    """Event: 1 at the first control step of the episode inside the inner fence. Returns (E,)."""
    return state.first_fence.float()


@rate(Stopping)
def stopping(state: RobotState, *, max_speed_m_s: float, budget_s: float) -> Tensor:
    """Standing still at the goal, for ``budget_s`` after the first arrival. Returns (E,) in [0, 2].

    ``0.8 exp(-(v / 0.2 m/s)^2) + 1.2 exp(-(w / 0.1 rad/s)^4)`` of horizontal speed v and yaw rate w.
    """
    still_moving = _exp_of_minus((_horizontal_speed(state) / 0.2).square())
    still_turning = _exp_of_minus((state.base_ang_vel_b[:, 2] / 0.1).square().square())
    return (0.8 * still_moving + 1.2 * still_turning) * _stop_gate(state, max_speed_m_s, budget_s)


@rate(ZeroTurning)
def zero_turning(state: RobotState, *, max_speed_m_s: float, budget_s: float, max_rad_s: float) -> Tensor:
    """1 where the conditions of ``stopping`` hold and the yaw rate is below ``max_rad_s``. Returns (E,)."""
    return _stop_gate(state, max_speed_m_s, budget_s) * (state.base_ang_vel_b[:, 2].abs() < max_rad_s)


@rate(NearTargetSpeed)
def near_target_speed(state: RobotState, *, slope_per_s: float, min_m_s: float, max_m_s: float) -> Tensor:
    """Squared excess over the wanted speed ``clip(slope_per_s * d, min_m_s, max_m_s)``. Returns (E,) [m^2/s^2]."""
    wanted = (slope_per_s * state.goal_distance).clamp(min_m_s, max_m_s)
    return (_horizontal_speed(state) - wanted).clamp(min=0.0).square()


@rate(Departure)
def departure(state: RobotState, *, min_m_s: float) -> Tensor:
    """Speed away from the goal once it was reached, above ``min_m_s``. Returns (E,) [m/s], >= 0."""
    leaving = state.goal_reached_before & (-state.goal_speed > min_m_s)
    return -state.goal_speed * leaving


@rate(Boundary)
def boundary(state: RobotState, *, start_radius_m: float) -> Tensor:
    """Distance beyond ``start_radius_m`` from the platform's centre. Returns (E,) [m], >= 0."""
    return (torch.linalg.vector_norm(state.base_pos[:, :2], dim=1) - start_radius_m).clamp(min=0.0)


@rate(Term)
def orientation(state: RobotState) -> Tensor:
    """Squared tilt, ``gx^2 + gy^2`` of the projected gravity. Returns (E,) in [0, 1]."""
    return state.projected_gravity_b[:, :2].square().sum(dim=1)


@rate(Term)
def lin_vel_z(state: RobotState) -> Tensor:
    """Squared vertical speed of the base. Returns (E,) [m^2/s^2]."""
    return state.base_lin_vel[:, 2].square()


@rate(Term)
def ang_vel_xy(state: RobotState) -> Tensor:
    """Squared roll and pitch rates. Returns (E,) [rad^2/s^2]."""
    return state.base_ang_vel_b[:, :2].square().sum(dim=1)


@rate(Term)
def torques(state: RobotState) -> Tensor:
    """Sum of squared joint torques. Returns (E,) [N^2 m^2]."""
    return state.torque.square().sum(dim=1)


@rate(Term)
def dof_vel(state: RobotState) -> Tensor:
    """Sum of squared joint velocities. Returns (E,) [rad^2/s^2]."""
    return state.joint_vel.square().sum(dim=1)


@rate(Term)
def dof_acc(state: RobotState) -> Tensor:
    """Sum of squared changes of joint velocity over one control step. Returns (E,) [rad^2/s^2]."""
    return (state.joint_vel - state.prev_joint_vel).square().sum(dim=1)


@rate(Term)
def action_rate(state: RobotState) -> Tensor:
    """Sum of squared changes of the smoothed action over one control step. Returns (E,) dimensionless."""
    return (state.action - state.prev_action).square().sum(dim=1)


@event(Term)
def termination(state: RobotState) -> Tensor:
    """Event: 1 when the episode ends in failure. Returns (E,)."""
    return state.terminated.float()


def _horizontal_speed(state: RobotState) -> Tensor:
    """Compute the horizontal speed of the base. Returns (E,) [m/s]."""
    return torch.linalg.vector_norm(state.base_lin_vel[:, :2], dim=1)


def _exp_of_minus(x: Tensor) -> Tensor:
    """Compute ``exp(-x)``, at least e^-80: subnormal numbers would be thirty times slower. Returns (E,)."""
    return torch.exp(-x.clamp(max=80.0))


def _stop_gate(state: RobotState, max_speed_m_s: float, budget_s: float) -> Tensor:
    """Check for a slow robot in the goal radius, within ``budget_s`` of its first arrival. Returns (E,) bool."""
    slow = _horizontal_speed(state) < max_speed_m_s
    return state.goal_reached & slow & (state.goal_reached_for_s <= budget_s)


class Rewards:
    """The weighted reward terms of the config; their sum is the reward of a control step.

    Args:
        terms: Weight and arguments of each term.
        dt_s: Duration of a control step [s], which scales rates.
        device: Device of the robots' tensors.
    """

    def __init__(self, terms: Mapping[str, Term], dt_s: float, device: torch.device | str = "cpu") -> None:
        scales = [term.weight * (1.0 if name in EVENTS else dt_s) for name, term in terms.items()]
        self._scales = torch.tensor(scales, device=device).unsqueeze(1)
        ended = torch.tensor([name == "termination" for name in terms], device=device).unsqueeze(1)
        self.failure = self._scales.where(ended, 0.0)  # (T, 1), the weighted terms of an unstable robot
        self._terms = [partial(TERMS[name], **term.arguments) for name, term in terms.items()]

    def __call__(self, state: RobotState) -> Tensor:
        """Compute the weighted terms after a control step. Returns (T, E), one row per term, in the config's order."""
        return torch.stack([term(state) for term in self._terms]) * self._scales
