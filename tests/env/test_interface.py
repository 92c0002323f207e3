"""What an exported policy says of its observation, action and robot, against what the task does."""

import json
from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from vbot_train.env.observations import SIZE, observe
from vbot_train.env.state import RobotState


@pytest.fixture
def interface(make_puppet_env):
    return make_puppet_env(1, action={"scale_rad": 0.6, "smoothing": 0.25}).describe_interface()


@pytest.fixture
def walking(state):
    """The robots of ``state`` with another number everywhere, so that no two quantities are equal."""
    changed = ("base_lin_vel_b", "base_ang_vel_b", "joint_pos", "joint_vel", "action")
    return replace(state, **{name: torch.randn_like(getattr(state, name)) for name in changed})


def test_the_parts_lie_side_by_side_and_are_the_whole_observation(interface):
    parts = interface["observation"]
    ends = [part["slice"][1] for part in parts]
    assert [part["slice"][0] for part in parts] == [0, *ends[:-1]] and ends[-1] == SIZE
    assert len({part["name"] for part in parts}) == len(parts)


def test_a_part_named_like_a_quantity_of_the_state_is_that_quantity_times_its_scale(interface, walking):
    observation = observe(walking)
    parts = [part for part in interface["observation"] if part["name"] in RobotState.__dataclass_fields__]
    assert len(parts) == 10
    for part in parts:
        expected = getattr(walking, part["name"]).reshape(2, -1).float() * part["scale"]
        assert_close(observation[:, slice(*part["slice"])], expected)


def test_the_joint_targets_are_those_that_the_description_leads_to(make_puppet_env, interface):
    env = make_puppet_env(1, action={"scale_rad": 0.6, "smoothing": 0.25})
    action, robot, smoothed = interface["action"], interface["robot"], torch.zeros(1, 12)
    for given in (torch.linspace(-2, 2, 12)[None], torch.full((1, 12), 0.5)):
        env.step(given)
        smoothed = (1 - action["smoothing"]) * given.clamp(*action["clip"]) + action["smoothing"] * smoothed
        expected = torch.tensor(robot["default_joint_position"]) + action["scale_rad"] * smoothed
        assert_close(env.simulation.joint_target, expected)


def test_robot_and_control_are_those_of_the_model(interface):
    robot = interface["robot"]
    assert robot["base_link_name"] == "base"
    assert robot["joint_names"][:4] == ["FR_hip_joint", "FR_thigh_joint", "FR_calf_joint", "FL_hip_joint"]
    assert robot["default_joint_position"] == [0.0, 0.9, -1.8] * 4
    front, rear = [-0.73304, -1.559, -2.6387], [-0.73304, -0.51181, -2.6387]
    assert robot["position_lower"] == front * 2 + rear * 2
    assert robot["position_upper"] == [0.73304, 3.1298, -0.7854] * 2 + [0.73304, 4.177, -0.7854] * 2
    assert robot["torque_limit"] == [17.0, 17.0, 34.0] * 4
    assert (interface["action"]["kp"], interface["action"]["kd"]) == ([80.0] * 12, [6.0] * 12)
    assert interface["control"]["period_s"] == 0.02


def test_the_description_is_plain_data(interface):
    assert json.loads(json.dumps(interface)) == interface
