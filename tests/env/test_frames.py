"""Frames, by turns that can be imagined."""

import math

import pytest
import torch
from torch import tensor
from torch.testing import assert_close

from vbot_train.env.frames import (
    compute_bearing,
    compute_goal_error,
    compute_projected_gravity,
    compute_rotation,
    to_body_frame,
)

HALF = math.sqrt(0.5)  # cos and sin of 45 degrees: half of a quarter turn
TURNS = [  # quaternion, and what (1, 2, 3) of the world is to the body
    ([1.0, 0.0, 0.0, 0.0], [1.0, 2.0, 3.0]),
    ([HALF, 0.0, 0.0, HALF], [2.0, -1.0, 3.0]),  # facing y: forward is y, left is -x
    ([HALF, HALF, 0.0, 0.0], [1.0, 3.0, -2.0]),  # rolled to the right side: left is up, up is -y
    ([HALF, 0.0, HALF, 0.0], [-3.0, 2.0, 1.0]),  # nose down: forward is -z, up is x
    ([0.0, 1.0, 0.0, 0.0], [1.0, -2.0, -3.0]),  # upside down
    ([0.5, 0.5, 0.5, 0.5], [2.0, 3.0, 1.0]),  # 120 degrees about (1, 1, 1): forward is y, left is z, up is x
]


@pytest.mark.parametrize(("quat", "expected"), TURNS)
def test_to_body_frame_of_hand_made_turns(quat, expected):
    rotation = compute_rotation(tensor([quat]))
    assert_close(to_body_frame(rotation, tensor([[1.0, 2.0, 3.0]])), tensor([expected]))


def test_robots_are_turned_each_by_its_own_quaternion():
    rotation = compute_rotation(tensor([quat for quat, _ in TURNS]))
    vectors = tensor([1.0, 2.0, 3.0]).expand(len(TURNS), 3)
    assert_close(to_body_frame(rotation, vectors), tensor([expected for _, expected in TURNS]))


def test_gravity_is_the_world_s_down_in_the_body_frame():
    quats = torch.nn.functional.normalize(torch.randn(20, 4, generator=torch.Generator().manual_seed(0)), dim=1)
    rotation = compute_rotation(quats)
    down = tensor([[0.0, 0.0, -1.0]]).expand(20, 3)
    assert_close(compute_projected_gravity(rotation), to_body_frame(rotation, down))


def yawed(yaw, pitch=0.0):
    """Rotation of a robot that faces ``yaw``, then bows by ``pitch``."""
    turn, bow = (math.cos(yaw / 2), math.sin(yaw / 2)), (math.cos(pitch / 2), math.sin(pitch / 2))
    return compute_rotation(tensor([[turn[0] * bow[0], -turn[1] * bow[1], turn[0] * bow[1], turn[1] * bow[0]]]))


@pytest.mark.parametrize(
    ("x", "y", "yaw", "bearing"),
    [
        (-2.0, 0.0, 0.0, 0.0),  # west of the goal and facing east: straight ahead
        (2.0, 0.0, math.pi, 0.0),
        (0.0, -2.0, 0.0, math.pi / 2),  # south of it and facing east: to the left
        (0.0, 2.0, 0.0, -math.pi / 2),
        (3.0, 3.0, math.pi / 2, 3 * math.pi / 4),  # the goal lies south-west, 225 deg; the robot faces north, 90 deg
    ],
)
def test_the_bearing_is_the_angle_from_the_heading_to_the_goal(x, y, yaw, bearing):
    assert_close(
        compute_bearing(compute_goal_error(tensor([[x, y]]), yawed(yaw))), tensor([bearing]), atol=1e-6, rtol=0
    )


@pytest.mark.parametrize("pitch", [0.0, 0.5, -1.0])
def test_the_goal_error_is_as_long_as_the_way_to_the_goal_however_the_robot_is_tilted(pitch):
    # 3 m east and 4 m north of the goal, facing north: it lies 4 m behind and 3 m to the left
    error = compute_goal_error(tensor([[3.0, 4.0]]), yawed(math.pi / 2, pitch))
    assert_close(error, tensor([[-4.0, 3.0]]), atol=1e-5, rtol=0)
