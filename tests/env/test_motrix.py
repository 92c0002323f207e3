"""The robots in MotrixSim, held against MuJoCo, and what is refused there (without the extra, only that is tested)."""

import mujoco
import pytest
import torch
from torch import tensor
from torch.testing import assert_close

from vbot_train.config.checks import check_config, check_evaluation
from vbot_train.config.composition import ConfigError, compose_config
from vbot_train.config.validation import compose_validated
from vbot_train.env import simulation
from vbot_train.env.environment import build_env, build_simulation
from vbot_train.env.simulation import ROBOT_XML, MujocoSimulation
from vbot_train.evaluation.held_out import evaluate, summarize

OPTION = ["simulation=motrix", "simulation.threads=1"]
TIMING = {"physics_dt_s": 0.01, "physics_steps": 2}


@pytest.fixture
def make():
    """``make(num_envs, *overrides)``: robots in MotrixSim."""
    pytest.importorskip("motrixsim")

    def make_robots(num_envs, *overrides):
        config = compose_validated([*OPTION, *overrides])
        return build_simulation(config.simulation, config.env, num_envs)

    return make_robots


def make_mujoco(num_envs, **timing):
    """The same robots under MuJoCo."""
    return MujocoSimulation(num_envs, **TIMING | timing, threads=1)


@pytest.fixture
def use_robot(tmp_path, monkeypatch):
    """``use_robot(change)``: both engines load a robot with a changed file."""
    motrix = pytest.importorskip("vbot_train.env.motrix", exc_type=ImportError)

    def change_file(change):
        text = simulation.ROBOT_XML.read_text(encoding="utf-8")
        assert change(text) != text
        (tmp_path / "robot.xml").write_text(change(text), encoding="utf-8")
        for module in (simulation, motrix):
            monkeypatch.setattr(module, "ROBOT_XML", tmp_path / "robot.xml")

    return change_file


def draw_poses(standing, num_envs, spread_rad=0.3, height_m=2.0):
    """Poses in the air, turned at random, (E, 19)."""
    generator = torch.Generator().manual_seed(0)
    position = 2 * torch.rand(num_envs, 3, generator=generator) + tensor([0.0, 0.0, height_m])
    turned = torch.nn.functional.normalize(torch.randn(num_envs, 4, generator=generator), dim=1)
    joints = standing + spread_rad * (2 * torch.rand(num_envs, 12, generator=generator) - 1)
    return torch.cat([position, turned, joints], dim=1)


def give_velocities(ours, theirs, qvel):
    """Let the robots of both simulations move with velocities (E, 18) in MuJoCo's frames."""
    ours._data.set_dof_vel(qvel.numpy())
    ours._read()
    theirs._state[:, -18:] = qvel.numpy()


def test_links_and_joints_are_where_mujoco_has_them(make):
    robots = make(16)
    poses = draw_poses(robots.standing_joint_pos, 16)
    robots.place(torch.arange(16), poses)
    robots._model.forward_kinematic(robots._data)
    model = mujoco.MjModel.from_xml_path(str(ROBOT_XML))
    data = mujoco.MjData(model)
    assert [model.joint(1 + k).name for k in range(12)] == robots._model.joint_names
    assert [model.actuator(k).name for k in range(12)] == robots._model.actuator_names
    for pose, links in zip(poses, robots._model.get_link_poses(robots._data), strict=True):
        data.qpos[:] = pose
        mujoco.mj_kinematics(model, data)
        for name, link in zip(robots._model.link_names, links, strict=True):
            assert data.body(name).xpos == pytest.approx(link[:3], abs=5e-6)


def test_masses_gains_and_limits_are_those_of_the_file(make):
    model, robots = mujoco.MjModel.from_xml_path(str(ROBOT_XML)), make(1)
    assert robots._model.low.subtree_masses[0] == pytest.approx(model.body_subtreemass[1], rel=1e-6)
    assert_close(robots._kp, torch.tensor(model.actuator_gainprm[:, 0]).float())
    assert_close(robots._kd, torch.tensor(-model.actuator_biasprm[:, 2]).float())
    assert_close(robots._limit, torch.tensor(model.actuator_forcerange[:, 1]).float())
    theirs = make_mujoco(1)
    assert torch.equal(robots.standing_joint_pos, theirs.standing_joint_pos)
    assert robots.standing_height_m == pytest.approx(theirs.standing_height_m, abs=1e-7)


def test_a_control_step_in_the_air_is_mujocos(make, use_robot):
    # The engines' frictions in the joints differ, by up to 1e-3 rad and 0.06 rad/s here; all else must not.
    use_robot(lambda text: text.replace('frictionloss="0.2"', ""))
    ours, theirs = make(64), make_mujoco(64)
    poses = draw_poses(ours.standing_joint_pos, 64)
    qvel = torch.randn(64, 18, generator=torch.Generator().manual_seed(1)) * tensor([1.0] * 3 + [3.0] * 3 + [0.5] * 12)
    for robots in (ours, theirs):
        robots.place(torch.arange(64), poses)
    give_velocities(ours, theirs, qvel)
    for robots in (ours, theirs):
        robots.step(poses[:, 7:])  # no motor reaches its limit
    same_side = (ours.qpos[:, 3:7] * theirs.qpos[:, 3:7]).sum(dim=1, keepdim=True).sign()  # q and -q are the same
    assert_close(ours.qpos[:, :3], theirs.qpos[:, :3], atol=3e-6, rtol=0)
    # MotrixSim integrates rotations to first order: after a control step at 8 rad/s they are short by 8e-5 rad.
    assert_close(same_side * ours.qpos[:, 3:7], theirs.qpos[:, 3:7], atol=3e-4, rtol=0)
    assert_close(ours.qpos[:, 7:], theirs.qpos[:, 7:], atol=3e-6, rtol=0)
    assert_close(ours.qvel, theirs.qvel, atol=5e-5, rtol=0)


def test_torques_are_those_of_mujocos_sensors(make):
    ours, theirs = make(8, "env.physics_steps=1", "env.episode_length_s=5"), make_mujoco(8, physics_steps=1)
    poses = draw_poses(ours.standing_joint_pos, 8)
    qvel = torch.randn(8, 18, generator=torch.Generator().manual_seed(2))
    for robots in (ours, theirs):
        robots.place(torch.arange(8), poses)
    give_velocities(ours, theirs, qvel)
    target = ours.standing_joint_pos.expand(8, -1)
    for robots in (ours, theirs):
        robots.step(target)
    assert (ours.torque.abs() == 17).any() and (ours.torque.abs() < 17).any()  # some motors are at their limit
    assert_close(ours.torque, theirs.torque, atol=1e-4, rtol=0)


def test_a_saturated_motor_is_right_at_a_time_step_at_which_mujocos_is_not(make):
    """A leg in the air that is told to swing by half a radian: every motor of it starts at its limit."""
    pose = torch.cat([tensor([0.0, 0.0, 2.0, 1.0, 0.0, 0.0, 0.0]), make(1).standing_joint_pos]).unsqueeze(0)
    moved = {}
    for physics_steps in (2, 200):
        timing = {"physics_steps": physics_steps, "physics_dt_s": 0.02 / physics_steps}
        ours = make(1, *(f"env.{key}={value}" for key, value in timing.items()))
        for name, robots in (("ours", ours), ("theirs", make_mujoco(1, **timing))):
            robots.place(torch.tensor([0]), pose)
            robots.step(pose[:, 7:] + 0.5)
            moved[name, physics_steps] = (robots.qpos - pose)[0, 7:]
    assert_close(moved["ours", 200], moved["theirs", 200], atol=1e-3, rtol=0)  # they have one limit
    gap = {name: (moved[name, 2] - moved["theirs", 200]).abs().max().item() for name in ("ours", "theirs")}
    assert gap["ours"] < 0.02 < 0.04 < gap["theirs"]  # [rad], measured: 0.013 and 0.050


def test_robots_stand_as_high_as_under_mujoco_and_falls_are_seen(make):
    ours, theirs = make(3), make_mujoco(3)
    pose = torch.cat([tensor([0.0, 0.0, 0.2774, 1.0, 0.0, 0.0, 0.0]), ours.standing_joint_pos]).repeat(3, 1)
    pose[1, 2:7] = tensor([0.3, 0.0, 1.0, 0.0, 0.0])  # on its back
    pose[2, 2:7] = tensor([0.4, 0.5**0.5, 0.0, 0.5**0.5, 0.0])  # on its nose
    touched = []
    for robots in (ours, theirs):
        robots.place(torch.arange(3), pose)
        each = []
        for _ in range(50):
            robots.step(robots.standing_joint_pos.expand(3, -1))
            each.append(robots.base_contact)
        touched.append(torch.stack(each).any(dim=0).tolist())
    assert touched == [[False, True, True]] * 2
    # Measured: 0.2612 and 0.2566 m.
    assert ours.qpos[0, 2] == pytest.approx(theirs.qpos[0, 2].item(), abs=0.01)


def test_robots_are_placed_alone(make):
    robots = make(4)
    for _ in range(3):
        robots.step(robots.standing_joint_pos + 0.3 * torch.ones(4, 12))
    before = {name: getattr(robots, name).clone() for name in ("qpos", "qvel", "torque", "base_contact")}
    poses = draw_poses(robots.standing_joint_pos, 2)
    robots.place(tensor([3, 1]), poses)
    assert torch.equal(robots.qpos[[3, 1]], poses)
    assert not (robots.qvel[[1, 3]].any() or robots.torque[[1, 3]].any() or robots.base_contact[[1, 3]].any())
    for name, values in before.items():
        assert torch.equal(getattr(robots, name)[[0, 2]], values[[0, 2]])
    robots._read()  # the engine's own
    assert_close(robots.qpos[[3, 1]], poses)


def test_a_robot_whose_physics_breaks_is_counted_and_leaves_the_others_alone(make):
    make(1)
    broken, whole = (build_env(compose_validated(OPTION), num_envs=3, seed=0) for _ in range(2))
    broken.reset(), whole.reset()
    moving = broken.simulation.qvel.clone()
    moving[1] = 1e30
    broken.simulation._data.set_dof_vel(moving.numpy())
    others = tensor([0, 2])
    for index in range(3):
        step, undisturbed = broken.step(torch.zeros(3, 12)), whole.step(torch.zeros(3, 12))
        assert step.terminated.tolist() == [False, index == 0, False]
        assert step.observation.isfinite().all() and step.final_observation.isfinite().all()
        assert torch.equal(step.observation[others], undisturbed.observation[others])
    assert (broken.unstable_robots, whole.unstable_robots) == (1, 0)


@pytest.mark.slow
def test_an_evaluation_has_the_starts_of_mujocos_and_robots_that_stand_do_not_fall(make, config):
    make(1)
    env, other = (build_env(compose_validated(options), num_envs=8, seed=0) for options in (OPTION, []))
    assert torch.equal(env.reset(seed=3), other.reset(seed=3))
    metrics = summarize(evaluate(env, lambda observation: torch.zeros(8, 12), config["evaluation"]["seed"]))
    assert (metrics["fall_rate"], metrics["success_rate"]) == (0, 0)


def test_what_an_evaluation_does_not_need_is_refused(make):
    robots = make(1)
    with pytest.raises(ConfigError, match=r"env\.randomization: simulation=motrix has one body for all robots"):
        robots.set_body_params(tensor([0]), None)
    with pytest.raises(ConfigError, match=r"env\.randomization\.push: simulation=motrix pushes no robots"):
        robots.kick(tensor([0]), torch.zeros(1, 2))
    for call in (robots.state_dict, lambda: robots.load_state_dict({})):
        with pytest.raises(ConfigError, match="simulation=motrix: has no state"):
            call()


def test_training_is_refused():
    message = "simulation=motrix: does not train, it evaluates: python -m vbot_train.evaluate RUN simulation=motrix"
    with pytest.raises(ConfigError) as error:
        check_config(compose_config(["simulation=motrix"]))
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("env_option", "overrides", "message"),
    [
        ("section001_robust", [], "env.randomization.friction=[0.4, 1.2]: simulation=motrix has one body"),
        (None, ["env.randomization.com_offset_m=0.01"], "env.randomization.com_offset_m=0.01: simulation=motrix has"),
        (None, ["env.randomization.push.max_m_s=1"], "env.randomization.push.max_m_s=1: simulation=motrix pushes no"),
        (None, ["simulation.threads=0"], "simulation.threads=0: must be at least 1"),
        (None, ["simulation=newton"], "simulation=newton: no such option, choose one of motrix, mujoco, warp"),
    ],
)
def test_an_evaluation_that_cannot_be_is_refused(monkeypatch, env_option, overrides, message):
    monkeypatch.setattr("vbot_train.config.checks.find_spec", lambda name: True)
    with pytest.raises(ConfigError) as error:
        check_evaluation(compose_config(), env_option, ["simulation=motrix", *overrides])
    assert message in str(error.value) and "\n" not in str(error.value)


def test_noise_and_latency_are_no_matter_of_the_physics(monkeypatch):
    monkeypatch.setattr("vbot_train.config.checks.find_spec", lambda name: True)
    overrides = ["env.randomization.latency_steps=1", "env.randomization.noise.joint_pos_rad=0.01"]
    assert check_evaluation(compose_config(), None, ["simulation=motrix", *overrides])


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr("vbot_train.config.checks.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="simulation=motrix: needs the extra `motrix`: pip install 'motrixsim"):
        check_evaluation(compose_config(), None, ["simulation=motrix"])


def test_the_option_replaces_the_group_and_the_key_changes_one_value(monkeypatch):
    monkeypatch.setattr("vbot_train.config.checks.find_spec", lambda name: True)
    recorded = compose_config(["simulation.threads=1"])
    by_option = check_evaluation(recorded, None, ["simulation.threads=2", "simulation=motrix"])  # in any order
    by_key = check_evaluation(recorded, None, ["simulation.backend=motrix"])
    assert (by_option.simulation.backend, by_option.simulation.threads) == ("motrix", 2)
    assert (by_key.simulation.backend, by_key.simulation.threads) == ("motrix", 1)
    assert check_evaluation(recorded, None, ["simulation=motrix"]).simulation.threads is None
