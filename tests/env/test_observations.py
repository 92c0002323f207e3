"""The 54 numbers that the policy sees, each worked out by hand."""

import math
from dataclasses import replace

import pytest
import torch
from torch import tensor
from torch.testing import assert_close

from vbot_train.env.observations import compute_velocity_command, observe

HALF = math.sqrt(0.5)  # cos and sin of 45 degrees: half of a quarter turn
WALKING = {  # the second robot of the fixture: 5 m from its goal, error (-3, -4) m
    "base_lin_vel_b": tensor([[0.0] * 3, [0.5, -0.25, 0.1]]),
    "base_ang_vel_b": tensor([[0.0] * 3, [0.4, -0.8, 1.2]]),
    "projected_gravity_b": tensor([[0.0, 0.0, -1.0], [0.6, 0.0, -0.8]]),
    "joint_pos": tensor([[0.0] * 12, [0.1] * 12]),
    "joint_vel": tensor([[0.0] * 12, [4.0] * 12]),
    "action": tensor([[0.0] * 12, [-0.3] * 12]),
}


def test_observation_has_54_numbers(state):
    assert observe(state).shape == (2, 54)


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        (slice(0, 3), [1.0, -0.5, 0.2]),  # velocity x 2
        (slice(3, 6), [0.1, -0.2, 0.3]),  # angular velocity x 0.25
        (slice(6, 9), [0.6, 0.0, -0.8]),  # projected gravity
        (slice(9, 21), [0.1] * 12),  # joint position
        (slice(21, 33), [0.2] * 12),  # joint velocity, 4 x 0.05
        (slice(33, 45), [-0.3] * 12),  # smoothed action
        (slice(45, 48), [-2.0, -2.0, -0.25]),  # command (-1, -1, -1) after clipping, x (2, 2, 0.25)
        (slice(48, 50), [-0.25, -4 / 12]),  # goal error / 12
        (slice(50, 51), [-(math.pi - math.atan(4 / 3)) / math.pi]),  # bearing: behind and to the right
        (slice(51, 52), [5 / 12]),  # distance / 12
        (slice(52, 54), [0.0, 0.0]),  # reached, stopped
    ],
)
def test_slice_of_a_walking_robot(state, place, expected):
    assert_close(observe(replace(state, **WALKING))[1, place], tensor(expected))


def test_robot_at_rest_on_its_goal_sees_gravity_and_two_flags(state):
    expected = torch.zeros(54)
    expected[8], expected[52], expected[53] = -1.0, 1.0, 1.0
    assert_close(observe(state)[0], expected)


@pytest.mark.parametrize(("yaw_rate", "stopped"), [(0.049, 1.0), (-0.049, 1.0), (0.051, 0.0), (-0.051, 0.0)])
def test_stopped_flag_falls_at_a_yaw_rate_of_0_05(state, yaw_rate, stopped):
    turning = replace(state, base_ang_vel_b=tensor([[0.0, 0.0, yaw_rate]] * 2))
    assert observe(turning)[:, 53].tolist() == [stopped, 0.0]  # the second robot is not at the goal


@pytest.mark.parametrize(
    ("degrees", "turn_deg"), [(7.9, 0.0), (-7.9, 0.0), (8.1, 8.1), (-30.0, -30.0), (90.0, 57.2958)]
)
def test_no_turn_is_commanded_within_8_degrees_and_none_above_1_rad_s(state, degrees, turn_deg):
    facing = replace(state, goal_bearing=tensor([0.0, math.radians(degrees)]))
    assert_close(compute_velocity_command(facing)[1, 2], tensor(math.radians(turn_deg)))


def test_command_is_one_m_s_per_metre_outside_the_goal_radius_and_zero_inside(state):
    near = replace(state, goal_error_b=tensor([[0.3, -0.2]] * 2), goal_bearing=tensor([0.5, 0.5]))
    assert_close(compute_velocity_command(near), tensor([[0.0, 0.0, 0.0], [0.3, -0.2, 0.5]]))


def test_distance_saturates_at_12_m(state):
    assert observe(replace(state, goal_distance=tensor([0.0, 12.4])))[1, 51] == 1.0


@pytest.fixture
def facing_north(make_puppet_env):
    """One robot 3 m east and 4 m north of its goal, turned to the left by 90 degrees; x is east."""
    env = make_puppet_env(1)
    env.simulation.stand_at((3.0, 4.0), yaw=math.pi / 2)
    return env


def test_robot_facing_north_that_moves_east_slides_to_its_right(facing_north):
    facing_north.simulation.qvel[0, :3] = tensor([0.5, 0.0, 0.1])
    observation = facing_north.step(torch.zeros(1, 12)).final_observation[0]
    assert_close(observation[:3], tensor([0.0, -1.0, 0.2]), atol=1e-6, rtol=0)  # (0, -0.5, 0.1) x 2


def test_robot_facing_north_sees_its_goal_4_m_behind_and_3_m_to_the_left(facing_north):
    observation = facing_north.step(torch.zeros(1, 12)).final_observation[0]
    assert_close(observation[48:50], tensor([-4 / 12, 3 / 12]))
    assert_close(observation[50], tensor(math.pi - math.atan(3 / 4)) / math.pi)
    assert_close(observation[45:48], tensor([-2.0, 2.0, 0.25]))  # clip(-4, 3) and clip(2.498 rad), scaled


def test_observation_does_not_change_when_the_whole_scene_is_turned(make_puppet_env):
    env = make_puppet_env(2)
    env.simulation.stand_at((3.0, 1.0), (-1.0, 3.0))
    env.simulation.qpos[1, 3:7] = tensor([HALF, 0.0, 0.0, HALF])  # the first scene, a quarter turn to the left
    env.simulation.qvel[:, :3] = tensor([[0.5, 0.2, 0.1], [-0.2, 0.5, 0.1]])
    first, second = env.step(torch.zeros(2, 12)).final_observation
    assert_close(first, second, atol=1e-6, rtol=0)
