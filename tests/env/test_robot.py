"""The compiled robot against the published tables, at rest and under wild actions."""

import math

import mujoco
import numpy as np
import pytest
import torch

from vbot_train.env.simulation import ROBOT_XML, MujocoSimulation

LEGS = ("FR", "FL", "RR", "RL")
JOINTS = [f"{leg}_{part}" for leg in LEGS for part in ("hip", "thigh", "calf")]
LIMITS = {  # joint range [rad]; a thigh's differs between front (F) and rear (R)
    "hip": (-0.73304, 0.73304),
    "F thigh": (-1.559, 3.1298),
    "R thigh": (-0.51181, 4.177),
    "calf": (-2.6387, -0.7854),
}
TORQUE = {"hip": 17.0, "thigh": 17.0, "calf": 34.0}  # [N m]
FEET = {"FR": (0.1967, -0.1485), "FL": (0.1967, 0.1485), "RR": (-0.1724, -0.1485), "RL": (-0.1724, 0.1485)}


@pytest.fixture(scope="module")
def model():
    return mujoco.MjModel.from_xml_path(str(ROBOT_XML))


@pytest.fixture
def standing(model):
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, 0)
    mujoco.mj_forward(model, data)
    return data


def test_mass_is_16_43_kg_within_one_percent(model):
    assert model.body_mass.sum() == pytest.approx(16.43, rel=0.01)


def test_joints_and_actuators_run_leg_by_leg_from_hip_to_calf(model):
    assert [model.joint(index).name for index in range(1, model.njnt)] == [f"{name}_joint" for name in JOINTS]
    assert [model.actuator(index).name for index in range(model.nu)] == JOINTS
    assert list(model.actuator_trnid[:, 0]) == list(range(1, 13))  # joint 0 is the free base


@pytest.mark.parametrize("name", JOINTS)
def test_joint_has_the_published_limits(model, name):
    part = name.split("_")[1]
    joint = model.joint(f"{name}_joint")
    assert joint.range == pytest.approx(LIMITS[f"{name[0]} thigh" if part == "thigh" else part])
    assert list(joint.axis) == ([1, 0, 0] if part == "hip" else [0, 1, 0])
    assert joint.armature == pytest.approx(0.04 if part == "calf" else 0.0043)
    assert joint.damping == pytest.approx(0.1)
    assert joint.frictionloss == pytest.approx(0.2)
    for limits in (model.jnt_actfrcrange[joint.id], model.actuator(name).forcerange):
        assert list(limits) == [-TORQUE[part], TORQUE[part]]


def test_actuators_pull_with_kp_80_and_kv_6(model):
    assert model.actuator_gainprm[:, 0] == pytest.approx(80.0)
    assert model.actuator_biasprm[:, 1] == pytest.approx(-80.0)
    assert model.actuator_biasprm[:, 2] == pytest.approx(-6.0)


def test_home_pose_has_straight_hips_and_bent_knees(model):
    assert list(model.key_qpos[0, 7:]) == [0.0, 0.9, -1.8] * 4
    assert list(model.key_ctrl[0]) == [0.0, 0.9, -1.8] * 4


@pytest.mark.parametrize("leg", LEGS)
def test_foot_just_touches_the_ground_at_home(standing, leg):
    x, y, z = standing.geom(leg).xpos
    assert (x, y) == pytest.approx(FEET[leg], abs=1e-3)
    assert z == pytest.approx(0.021, abs=1e-3)  # the radius of a foot: 0.2774 - 0.2564


def test_robot_settles_standing_at_0_259_m(model, standing):
    for _ in range(300):  # 3 s
        mujoco.mj_step(model, standing)
    assert standing.qpos[2] == pytest.approx(0.259, abs=0.005)
    assert np.abs(standing.qvel).max() < 0.01


def test_torque_of_a_standing_robot_is_kp_times_the_sag_of_its_joints():
    simulation = MujocoSimulation(1, physics_dt_s=0.01, physics_steps=2, threads=1)
    for _ in range(150):  # 3 s
        simulation.step(simulation.standing_joint_pos.unsqueeze(0))
    sag = simulation.standing_joint_pos - simulation.qpos[0, 7:]
    torch.testing.assert_close(simulation.torque[0], 80.0 * sag, atol=0.05, rtol=0)
    assert sag[2] > 0.05  # rad, of a calf


@pytest.mark.parametrize("std", [1.0, 2.7])
@pytest.mark.parametrize(("scale_rad", "limit"), [(0.25, math.inf), (0.75, 1.0)], ids=["predecessor", "ours"])
def test_wild_actions_break_none_of_128_robots_in_4_s(model, standing, std, scale_rad, limit):
    noise = np.random.default_rng(0).normal(scale=std, size=(128, 200, 12))  # 200 control steps of 20 ms
    fastest = 0.0
    for actions in noise:
        mujoco.mj_resetDataKeyframe(model, standing, 0)
        smoothed = np.zeros(12)
        for action in actions:
            smoothed = 0.5 * smoothed + 0.5 * action.clip(-limit, limit)
            standing.ctrl[:] = model.key_ctrl[0] + scale_rad * smoothed
            for _ in range(2):  # physics steps of 10 ms
                mujoco.mj_step(model, standing)
                fastest = max(fastest, np.abs(standing.qvel[6:]).max())
            assert np.isfinite(standing.qpos).all() and np.isfinite(standing.qvel).all()
        assert not standing.warning.number.any()
    assert fastest < 100.0  # rad/s
