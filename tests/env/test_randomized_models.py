"""Robots that differ: what MuJoCo makes of the bodies that they are given."""

import mujoco
import numpy as np
import pytest
import torch
from torch import tensor
from torch.testing import assert_close

from vbot_train.env.body_params import BodyParams
from vbot_train.env.randomized_models import RandomizedModels
from vbot_train.env.simulation import ROBOT_XML, MujocoSimulation


def dynamics(friction=(1.0,), payload_kg=(0.0,), com_offset_m=((0.0, 0.0, 0.0),), motor_strength=(1.0,)):
    """As many robots as there are values of the longest, the others' single value repeated."""
    values = [tensor(v) for v in (friction, payload_kg, com_offset_m, motor_strength)]
    count = max(len(v) for v in values)
    return BodyParams(*(v.expand(count, *v.shape[1:]) for v in values))


def models(count=1, **numbers):
    """The models of robots with these dynamics."""
    bodies = RandomizedModels(mujoco.MjModel.from_xml_path(str(ROBOT_XML)), count)
    bodies.set(torch.arange(count), dynamics(**numbers))
    return bodies.models


def simulation(num_envs=2):
    return MujocoSimulation(num_envs, physics_dt_s=0.01, physics_steps=2, threads=1)


def stand(physics, seconds=3.0):
    for _ in range(round(seconds / 0.02)):
        physics.step(physics.standing_joint_pos.expand(physics.num_envs, 12))
    return physics


def differing(a, b):
    """Names of the arrays in which two models differ."""
    names = [name for name in dir(a) if isinstance(getattr(a, name), np.ndarray)]
    return {name for name in names if not np.allclose(getattr(a, name), getattr(b, name), rtol=1e-6, atol=1e-9)}


@pytest.mark.parametrize("friction", [0.2, 0.4, 1.2])  # below, at and above the legs' own
def test_every_contact_with_the_ground_has_the_friction_of_the_robot(friction):
    (model,) = models(friction=(friction,))
    data = mujoco.MjData(model)
    for height in (0.2774, 0.1):  # on its feet; on its belly, legs in the ground
        mujoco.mj_resetDataKeyframe(model, data, 0)
        data.qpos[2] = height
        mujoco.mj_forward(model, data)
        assert data.ncon >= 4
        assert data.contact.friction[:, :2] == pytest.approx(friction)


def test_a_robot_slides_farther_on_slippery_ground():
    robots = simulation(2)
    robots.set_body_params(torch.arange(2), dynamics(friction=(0.4, 1.2)))
    stand(robots)
    start = robots.qpos[:, 1].clone()
    robots.kick(torch.arange(2), tensor([[0.0, 0.8], [0.0, 0.8]]))
    slippery, grippy = (stand(robots, 1.0).qpos[:, 1] - start).tolist()
    assert slippery > grippy + 0.01  # m


def test_payload_adds_just_its_mass_and_lowers_a_standing_robot():
    plain, loaded = models(2, payload_kg=(0.0, 3.0))
    assert loaded.body_mass.sum() - plain.body_mass.sum() == pytest.approx(3.0)
    robots = simulation(2)
    robots.set_body_params(torch.arange(2), dynamics(payload_kg=(0.0, 3.0)))
    plain_m, loaded_m = stand(robots).qpos[:, 2].tolist()
    assert loaded_m < plain_m - 0.001


def test_centre_of_mass_in_front_loads_the_front_legs():
    robots = simulation(2)
    robots.set_body_params(torch.arange(2), dynamics(com_offset_m=((-0.03, 0.0, 0.0), (0.03, 0.0, 0.0))))
    front_knee = stand(robots).torque[:, 2].abs()
    assert front_knee[1] > front_knee[0] + 0.5  # N m


@pytest.mark.parametrize("strength", [0.85, 1.15])
def test_torque_of_a_standing_robot_is_strength_times_kp_times_the_sag_of_its_joints(strength):
    robots = simulation(1)
    robots.set_body_params(tensor([0]), dynamics(motor_strength=(strength,)))
    stand(robots)
    assert_close(robots.torque, strength * 80.0 * (robots.standing_joint_pos - robots.qpos[:, 7:]), atol=0.05, rtol=0)


def test_torque_limits_scale_with_the_motors_strength():
    (weak,) = models(motor_strength=(0.5,))
    assert weak.actuator("FR_calf").forcerange == pytest.approx([-17, 17])
    assert weak.jnt_actfrcrange[weak.joint("FR_calf_joint").id] == pytest.approx([-17, 17])


def test_a_body_is_the_model_that_a_file_with_its_numbers_compiles_to():
    spec = mujoco.MjSpec.from_file(str(ROBOT_XML))
    spec.body("base").mass += 2.0
    spec.body("base").ipos += (0.01, -0.02, 0.03)
    for geom in spec.geoms:
        geom.friction[0] = 0.7
    for motor, joint in zip(spec.actuators, spec.joints[1:], strict=True):  # joint 0 is the free base
        motor.gainprm[0] *= 1.1
        motor.biasprm[1:3] *= 1.1
        motor.forcerange *= 1.1
        joint.actfrcrange *= 1.1
    offset = ((0.01, -0.02, 0.03),)
    (given,) = models(friction=(0.7,), payload_kg=(2.0,), com_offset_m=offset, motor_strength=(1.1,))
    assert differing(given, spec.compile()) == set()


def test_another_body_leaves_nothing_of_the_last_one():
    bodies = RandomizedModels(mujoco.MjModel.from_xml_path(str(ROBOT_XML)), 1)
    bodies.set(tensor([0]), dynamics((0.5,), (3.0,), ((0.03, 0.03, 0.03),), (0.85,)))
    bodies.set(tensor([0]), dynamics())
    assert differing(bodies.models[0], models()[0]) == set()


def test_robots_share_one_model_until_one_of_them_is_given_a_body():
    nominal = mujoco.MjModel.from_xml_path(str(ROBOT_XML))
    bodies = RandomizedModels(nominal, 3)
    assert all(model is nominal for model in bodies.models)
    bodies.set(tensor([1]), dynamics(payload_kg=(3.0,)))
    assert [model.body_mass.sum() - nominal.body_mass.sum() for model in bodies.models] == pytest.approx([0, 3, 0])
    assert len({id(model) for model in (nominal, *bodies.models)}) == 4


def test_nominal_bodies_move_bit_for_bit_like_robots_without_any():
    shared, own = simulation(2), simulation(2)
    own.set_body_params(torch.arange(2), dynamics(friction=(1.0, 1.0)))
    for target in shared.standing_joint_pos + torch.randn(50, 2, 12, generator=torch.Generator().manual_seed(0)):
        shared.step(target)
        own.step(target)
    assert torch.equal(shared.qpos, own.qpos) and torch.equal(shared.qvel, own.qvel)


def test_a_new_body_disturbs_neither_its_robot_nor_the_others():
    robots, undisturbed = stand(simulation(2), 0.1), stand(simulation(2), 0.1)
    robots.set_body_params(tensor([1]), dynamics(payload_kg=(3.0,)))
    assert torch.equal(robots.qpos, undisturbed.qpos) and torch.equal(robots.qvel, undisturbed.qvel)
    stand(robots, 0.1), stand(undisturbed, 0.1)
    assert torch.equal(robots.qpos[0], undisturbed.qpos[0])
    assert not torch.equal(robots.qpos[1], undisturbed.qpos[1])


def test_a_kick_changes_the_horizontal_velocity_of_its_robot_by_just_that_and_the_robot_moves_on_with_it():
    robots = stand(simulation(3))
    place, before = robots.qpos.clone(), robots.qvel.clone()
    robots.kick(tensor([2, 0]), tensor([[0.5, -0.25], [0.125, 0.0]]))
    change = torch.zeros(3, 18)
    change[0, 0], change[2, :2] = 0.125, tensor([0.5, -0.25])
    assert_close(robots.qvel - before, change, atol=1e-6, rtol=0)
    moved = (stand(robots, 0.02).qpos - place)[:, :2]  # one control step: at most 10 and 5 mm, as the feet brake
    assert moved[2, 0] > 0.004 and moved[2, 1] < -0.002 and moved[1].abs().max() < 0.001
