"""The task on mujoco-warp, held against MuJoCo; here on Warp's CPU device, whose kernels compile for half a minute."""

import copy
from dataclasses import asdict

import mujoco
import pytest
import torch
from torch import tensor
from torch.testing import assert_close

from vbot_train.config.checks import check_config
from vbot_train.config.composition import ConfigError, compose_config
from vbot_train.config.validation import compose_validated, validate_config
from vbot_train.env import simulation, warp
from vbot_train.env.body_params import BodyParams
from vbot_train.env.environment import build_env, build_simulation
from vbot_train.env.simulation import MujocoSimulation
from vbot_train.env.warp import WarpSimulation
from vbot_train.evaluation.held_out import evaluate, summarize
from vbot_train.training.train import train

ON_CPU = ["simulation=warp", "simulation.device=cpu"]
TIMING = {"physics_dt_s": 0.01, "physics_steps": 2}
ROBOTS = 64


def make(num_envs=ROBOTS):
    """Robots on Warp's CPU device."""
    config = compose_validated(ON_CPU)
    return build_simulation(config.simulation, config.env, num_envs)


@pytest.fixture
def make_pair(tmp_path, monkeypatch):
    """``make_pair(iterations)``: the same robots under MuJoCo and Warp, with so many iterations of their solvers."""

    def make_both(iterations):
        few, many = 'iterations="4" ls_iterations="8"', f'iterations="{iterations}" ls_iterations="{2 * iterations}"'
        text = simulation.ROBOT_XML.read_text(encoding="utf-8")
        assert few in text
        (tmp_path / "robot.xml").write_text(text.replace(few, many), encoding="utf-8")
        for module in (simulation, warp):
            monkeypatch.setattr(module, "ROBOT_XML", tmp_path / "robot.xml")
        return MujocoSimulation(ROBOTS, **TIMING, threads=1), make()

    return make_both


def random_targets(standing, steps, num_envs=ROBOTS):
    """Joint targets all over the range of actions, (steps, E, J)."""
    generator = torch.Generator().manual_seed(1)
    return standing + 0.75 * (2 * torch.rand(steps, num_envs, 12, generator=generator) - 1)


def gaps(ours, theirs):
    """Largest difference of each robot (E,): position [m, rad], velocity [m/s, rad/s], torque [N m]."""
    pairs = [(getattr(ours, name), getattr(theirs, name)) for name in ("qpos", "qvel", "torque")]
    return torch.stack([(a - b).abs().amax(dim=1) for a, b in pairs])


def each_step(ours, theirs, targets):
    """``gaps`` of single control steps from the states of ``theirs``, (steps, 3, E)."""
    found = []
    for target in targets:
        ours.qpos[:], ours.qvel[:] = theirs.qpos, theirs.qvel
        ours.step(target), theirs.step(target)
        assert torch.equal(ours.base_contact, theirs.base_contact)
        found.append(gaps(ours, theirs))
    return torch.stack(found)


@pytest.mark.slow
def test_a_control_step_is_mujocos_but_for_float32(make_pair):
    theirs, ours = make_pair(iterations=50)  # enough for either solver to find the one solution there is
    found = each_step(ours, theirs, random_targets(theirs.standing_joint_pos, 40))
    # Measured, 7680 robot steps of three seeds: at most 7e-6 (half of them 1e-7), 2.4e-4 (6e-6), 2.8e-3 N m (3e-5).
    assert (found.amax(dim=(0, 2)) < tensor([5e-5, 2e-3, 2e-2])).all()
    assert (found.transpose(0, 1).flatten(1).median(dim=1).values < tensor([1e-6, 5e-5, 2e-4])).all()


@pytest.mark.slow
def test_a_second_of_random_actions_is_mujocos_but_for_float32(make_pair):
    theirs, ours = make_pair(iterations=50)
    target = theirs.standing_joint_pos
    for drawn in random_targets(theirs.standing_joint_pos, 50):
        target = torch.lerp(drawn, target, 0.5)  # smoothed, as the task does
        ours.step(target), theirs.step(target)
    # Measured, 512 robots: half of them differ by 2e-6 and 2e-5, a tenth by 7e-6 and 1.3e-4 or more; two went another
    # way, and are 4 cm apart.
    position, velocity, _ = gaps(ours, theirs)
    assert position.median() < 2e-5 and position.quantile(0.9) < 1e-4
    assert velocity.median() < 2e-4 and velocity.quantile(0.9) < 2e-3


@pytest.mark.slow
def test_with_the_few_iterations_of_the_task_nine_robots_in_ten_differ_little_in_a_control_step(make_pair):
    theirs, ours = make_pair(iterations=4)  # neither solver has finished where feet land or slip
    found = each_step(ours, theirs, random_targets(theirs.standing_joint_pos, 40))
    position, velocity, _ = found.transpose(0, 1).flatten(1)
    # Measured, three seeds: half differ by 2e-7 and 7e-6, a tenth by 1.7e-4 and 8.6e-3 or more, a hundredth by 3e-3
    # and 0.14. MuJoCo's own distance from its finished solution: a tenth 1e-4 and 6e-3, a hundredth 2.5e-3 and 0.14.
    assert position.median() < 1e-6 and position.quantile(0.9) < 1e-3
    assert velocity.median() < 5e-5 and velocity.quantile(0.9) < 5e-2


BODIES = BodyParams(  # as the file has it, on ice, laden, out of balance, with weak motors
    friction=tensor([1.0, 0.3, 1.0, 1.0, 1.0]),
    payload_kg=tensor([0.0, 0.0, 3.0, 0.0, 0.0]),
    com_offset_m=torch.zeros(5, 3).index_fill(0, tensor([3]), 0.03),
    motor_strength=tensor([1.0, 1.0, 1.0, 1.0, 0.6]),
)


def mujocos_pose(dynamics, robot, push, steps):
    """Where MuJoCo has a robot of that body after being pushed while it stands, (7 + J,)."""
    model = mujoco.MjModel.from_xml_path(str(simulation.ROBOT_XML))
    base = model.body("base").id
    model.geom_friction[:, 0] = dynamics.friction[robot]
    model.body_mass[base] += dynamics.payload_kg[robot].item()
    model.body_ipos[base] += dynamics.com_offset_m[robot].numpy()
    for field in (model.actuator_gainprm, model.actuator_biasprm, model.actuator_forcerange, model.jnt_actfrcrange):
        field *= dynamics.motor_strength[robot].item()
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, 0)
    data.qvel[:2] = push
    for _ in range(2 * steps):
        mujoco.mj_step(model, data)
    return tensor(data.qpos, dtype=torch.float32)


@pytest.mark.slow
def test_robots_of_other_bodies_stand_and_slide_as_mujocos_do(make_pair):
    make_pair(iterations=50)
    ours, push = make(5), (0.5, 1.0)
    for _ in range(2):  # given again, nothing adds up
        ours.set_body_params(tensor([1, 2, 3, 4]), rows(BODIES, [1, 2, 3, 4]))
    ours.kick(torch.arange(5), tensor(push).expand(5, 2))
    for _ in range(25):
        ours.step(ours.standing_joint_pos.expand(5, -1))
    theirs = torch.stack([mujocos_pose(BODIES, robot, push, 25) for robot in range(5)])
    assert ((theirs[1:] - theirs[0]).abs().amax(dim=1) > 0.01).all()  # each of the four makes a difference
    assert_close(ours.qpos, theirs, atol=1e-4, rtol=0)


def rows(dynamics, index):
    """The bodies at ``index``."""
    return BodyParams(
        dynamics.friction[index],
        dynamics.payload_kg[index],
        dynamics.com_offset_m[index],
        dynamics.motor_strength[index],
    )


@pytest.mark.slow
def test_robots_are_placed_and_kicked_alone():
    robots = make(4)
    for target in random_targets(robots.standing_joint_pos, 5, 4):
        robots.step(target)
    before = {name: getattr(robots, name).clone() for name in ("qpos", "qvel", "torque", "base_contact")}
    pose = robots.qpos[:2] + 1.0
    robots.place(tensor([1, 3]), pose)
    robots.kick(tensor([2]), tensor([[0.5, -0.25]]))
    assert torch.equal(robots.qpos[[1, 3]], pose)
    assert not (robots.qvel[[1, 3]].any() or robots.torque[[1, 3]].any() or robots.base_contact[[1, 3]].any())
    before["qvel"][2, :2] += tensor([0.5, -0.25])
    for name, values in before.items():
        assert torch.equal(getattr(robots, name)[[0, 2]], values[[0, 2]])


@pytest.mark.slow
def test_an_episode_starts_as_it_does_under_mujoco_and_pays_alike(config):
    ours = build_env(compose_validated(ON_CPU), num_envs=8, seed=0)
    theirs = build_env(validate_config(config), num_envs=8, seed=0)
    assert torch.equal(ours.reset(seed=3, stagger=True), theirs.reset(seed=3, stagger=True))
    step, other = ours.step(torch.zeros(8, 12)), theirs.step(torch.zeros(8, 12))
    assert_close(step.observation, other.observation, atol=1e-2, rtol=0)
    assert_close(step.reward, other.reward, atol=1e-3, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("speed", [float("nan"), 1e6])
def test_a_robot_whose_physics_breaks_is_counted_and_leaves_the_others_alone(speed):
    broken, whole = (build_env(compose_validated(ON_CPU), num_envs=3, seed=0) for _ in range(2))
    broken.reset(), whole.reset()
    broken.simulation.qvel[1] = speed
    others = tensor([0, 2])
    for index in range(3):
        step, undisturbed = broken.step(torch.zeros(3, 12)), whole.step(torch.zeros(3, 12))
        assert step.terminated.tolist() == [False, index == 0, False]
        assert step.observation.isfinite().all() and step.final_observation.isfinite().all()
        assert (step.reward[1] == -30) == (index == 0)
        assert torch.equal(step.observation[others], undisturbed.observation[others])
    assert (broken.unstable_robots, whole.unstable_robots) == (1, 0)


def test_the_next_control_steps_from_a_state_are_the_same():
    overrides = [
        *ON_CPU,
        "env=section001_robust",
        "env.episode_length_s=0.4",
        "env.randomization.push.interval_s=[0.1,0.5]",
    ]
    env, other = (build_env(compose_validated(overrides), num_envs=8, seed=seed) for seed in (1, 2))
    actions = 3 * torch.randn(75, 8, 12, generator=torch.Generator().manual_seed(0))
    for one in (env, other):
        one.reset(stagger=True)
        one.step(actions[0])
    for action in actions[:25]:
        env.step(action)
    state = copy.deepcopy(env.state_dict())
    steps = [asdict(env.step(action)) for action in actions[25:]]
    other.load_state_dict(state)
    again = [asdict(other.step(action)) for action in actions[25:]]
    assert_close(again, steps, rtol=0, atol=0, equal_nan=True)


@pytest.mark.slow
def test_a_short_training_learns_to_move_towards_the_goal(tmp_path):
    length = ["training=smoke", "training.num_envs=32", "training.env_steps=61440", "training.evaluation_episodes=32"]
    ppo = ["network=small", "ppo.learning_rate=1e-3", "ppo.mini_batches=8"]
    config = compose_config([*ON_CPU, *length, *ppo])
    config["reward"] = {"forward_velocity": {"weight": 1.0, "min_m_s": -1.0, "max_m_s": 1.0}}  # pays metres won
    env = build_env(validate_config(config), num_envs=32, seed=0)
    standing = summarize(evaluate(env, lambda observation: torch.zeros(32, 12), config["evaluation"]["seed"]))
    result = train(config, tmp_path)
    assert (result.status, result.unstable_robots) == ("completed", 0)
    # Measured: 0.9 m here; 0.5, 1.0 and 1.4 m under MuJoCo, three seeds. Standing wins none.
    assert result.metrics["episode_reward_mean"] > standing["episode_reward_mean"] + 0.25
    assert result.metrics["final_distance_m"] < standing["final_distance_m"] - 0.25


@pytest.mark.parametrize(
    ("overrides", "gpus", "message"),
    [
        ([], 0, "simulation=warp: there is no NVIDIA GPU here; simulation.device=cpu runs it slowly"),
        (["simulation.device=cuda:1"], 1, "simulation.device=cuda:1: no such GPU, found 1 from cuda:0 on"),
        (["simulation.device=0"], 1, "simulation.device=0: must be null (the first GPU), cuda:0, cuda:1 and so on"),
        (["simulation.device=gpu"], 1, "simulation.device=gpu: must be null (the first GPU), cuda:0, cuda:1 and so on"),
        (["simulation.nconmax=0"], 1, "simulation.nconmax=0: must be at least 1"),
        (["simulation.backend=newton"], 1, "simulation.backend=newton: choose one of mujoco, warp"),
    ],
)
def test_a_simulation_that_cannot_run_here_is_refused(monkeypatch, overrides, gpus, message):
    monkeypatch.setattr("vbot_train.config.checks.count_gpus", lambda: gpus)
    with pytest.raises(ConfigError) as error:
        check_config(compose_config(["simulation=warp", *overrides]))
    assert message in str(error.value)


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr("vbot_train.config.checks.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="simulation=warp: needs the extra `gpu`: pip install 'mujoco-warp"):
        check_config(compose_config(ON_CPU))


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a torch without a GPU")
def test_a_gpu_that_torch_cannot_use_is_refused():
    with pytest.raises(ConfigError, match=r"simulation=warp: torch.* found no GPU to use; simulation.device=cpu"):
        WarpSimulation(1, **TIMING, device=None, nconmax=84, njmax=192)


def test_a_run_from_a_gpu_is_evaluated_elsewhere_by_mujoco():
    options = compose_validated(["simulation=warp", "simulation.backend=mujoco"])
    assert isinstance(build_simulation(options.simulation, options.env, 2), MujocoSimulation)
