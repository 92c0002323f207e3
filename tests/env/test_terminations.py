"""What ends an episode in failure."""

import math
from dataclasses import replace

import pytest
import torch
from torch import tensor

from vbot_train.env import terminations

BELLY = [0.0, 2.5, -0.9] * 4  # legs folded back along the trunk, feet above its underside [rad]


@pytest.mark.parametrize(
    ("degrees", "fallen"), [(0, False), (74, False), (76, True), (105, True), (180, True), (-74, False), (-76, True)]
)
@pytest.mark.parametrize("axis", [0, 1])
def test_a_tilt_of_more_than_75_degrees_is_a_fall_and_so_is_upside_down(state, axis, degrees, fallen):
    gravity = torch.zeros(2, 3)
    gravity[:, axis], gravity[:, 2] = math.sin(math.radians(degrees)), -math.cos(math.radians(degrees))
    assert (
        terminations.is_tilted(replace(state, projected_gravity_b=gravity), max_tilt_deg=75.0).tolist() == [fallen] * 2
    )


def test_the_platform_ends_at_its_rim_in_every_direction(state):
    # 12.49 m and 12.51 m from the middle, towards (0.6, -0.8)
    places = tensor([[7.494, -9.992, 0.26], [7.506, -10.008, 0.26]])
    assert terminations.is_off_platform(replace(state, base_pos=places), platform_radius_m=12.5).tolist() == [
        False,
        True,
    ]


def test_height_does_not_count_towards_the_rim(state):
    high = replace(state, base_pos=tensor([[0.0, 0.0, 20.0], [12.4, 0.0, 20.0]]))
    assert not terminations.is_off_platform(high, platform_radius_m=12.5).any()


def test_contact_of_the_trunk_or_head_is_a_touch(state):
    assert terminations.is_touching(replace(state, base_contact=tensor([False, True]))).tolist() == [False, True]


def pose(env, place, height, quat=(1.0, 0.0, 0.0, 0.0), joints=None):
    joints = env.simulation.standing_joint_pos if joints is None else tensor(joints)
    return torch.cat([tensor([*place, height, *quat]), joints]).unsqueeze(0)


@pytest.mark.parametrize(
    ("case", "fell", "left"),
    [
        ({"place": (3.0, 0.0), "height": 0.2774}, False, False),  # on its feet, which touch the ground
        ({"place": (3.0, 0.0), "height": 0.06, "joints": BELLY}, True, False),  # trunk reaches 0.064 m down
        ({"place": (3.0, 0.0), "height": 0.2, "quat": (0.0, 1.0, 0.0, 0.0)}, True, False),  # on its head
        ({"place": (12.55, 0.0), "height": 0.2774}, False, True),
    ],
    ids=["standing", "belly", "head", "beyond the rim"],
)
def test_episode_ends_for_the_right_reason(make_env, case, fell, left):
    env = make_env(1)
    env.reset()
    env.simulation.place(tensor([0]), pose(env, **case))
    step = env.step(torch.zeros(1, 12))
    assert step.terminated.tolist() == [fell or left]
    assert step.episodes.fell.tolist() == [fell] * (fell or left)
    assert step.episodes.left.tolist() == [left] * (fell or left)


@pytest.mark.parametrize("case", [{"height": 0.06, "joints": BELLY}, {"height": 0.2, "quat": (0.0, 1.0, 0.0, 0.0)}])
def test_the_contact_sensor_feels_trunk_and_head_but_not_feet(make_env, case):
    simulation = make_env(2).simulation
    simulation.place(tensor([1]), pose(make_env(1), (3.0, 0.0), **case))
    simulation.step(simulation.qpos[:, 7:])
    assert simulation.base_contact.tolist() == [False, True]  # the first stands
