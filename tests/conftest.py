"""What tests of the task share: two robots at rest, a simulation without physics, and the environment's builder."""

import math
import shutil
import signal
import sys
import time

import pytest
import torch

from vbot_train.config.composition import compose_config
from vbot_train.config.reward_terms import Reward
from vbot_train.config.tasks import Navigation
from vbot_train.env.navigation import NavigationEnv
from vbot_train.env.simulation import MujocoSimulation
from vbot_train.env.state import RobotState

torch.set_num_threads(1)
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # commands inherit that nohup ignores it, and tests close terminals

PATIENCE_MS = 200_000  # a page brings five megabytes of plotly, and a busy machine takes its time
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture
def say(capsys):
    """Print a figure that a test has measured, whether it passes or not."""

    def show(text):
        with capsys.disabled():
            print(f"\n{text}")

    return show


@pytest.fixture
def zone(monkeypatch):
    """``zone("Europe/Berlin")``: from now on this process is on a host that stands there."""

    if sys.platform == "win32":
        pytest.skip("Windows gives no process a zone of its own")

    def move(name):
        monkeypatch.setenv("TZ", name)
        time.tzset()

    yield move
    monkeypatch.undo()
    time.tzset()


@pytest.fixture(scope="session")
def config():
    """The default configuration. Shared: vary a copy."""
    return compose_config()


@pytest.fixture
def state():
    """Two robots at rest, both facing east: the first stands on its goal, the second 3 m east and 4 m north of it."""
    joints, still, never = torch.zeros(2, 12), torch.zeros(2, 3), torch.tensor([False, False])
    on_goal = torch.tensor([True, False])
    return RobotState(
        base_pos=torch.tensor([[0.0, 0.0, 0.26], [3.0, 4.0, 0.26]]),
        base_lin_vel=still,
        base_lin_vel_b=still,
        base_ang_vel_b=still,
        projected_gravity_b=torch.tensor([[0.0, 0.0, -1.0], [0.0, 0.0, -1.0]]),
        joint_pos=joints,
        joint_vel=joints,
        prev_joint_vel=joints,
        torque=joints,
        base_contact=never,
        action=joints,
        prev_action=joints,
        goal_error_b=torch.tensor([[0.0, 0.0], [-3.0, -4.0]]),
        goal_distance=torch.tensor([0.0, 5.0]),
        goal_speed=torch.zeros(2),
        start_distance=torch.tensor([2.0, 10.0]),
        goal_bearing=torch.tensor([0.0, math.atan2(-4.0, -3.0)]),
        goal_reached=on_goal,
        goal_reached_before=on_goal,
        goal_reached_for_s=torch.zeros(2),
        first_arrival=never,
        first_fence=never,
        terminated=never,
    )


class Puppets:
    """A ``Simulation`` without physics: robots stay where a test puts them and move as it says."""

    def __init__(self, num_envs):
        self.num_envs = num_envs
        self.device = torch.device("cpu")
        self.bodies, self.kicks = [], []  # that they were given: (index, what) each
        self.standing_joint_pos = torch.tensor([0.0, 0.9, -1.8] * 4)
        self.standing_height_m = 0.26
        self.qpos, self.qvel = torch.zeros(num_envs, 19), torch.zeros(num_envs, 18)
        self.torque, self.base_contact = torch.zeros(num_envs, 12), torch.zeros(num_envs, dtype=torch.bool)

    def place(self, index, qpos):
        self.qpos[index] = qpos
        self.qvel[index] = 0.0

    def step(self, joint_target):
        self.joint_target = joint_target
        self.qpos, self.qvel = self.qpos.clone(), self.qvel.clone()  # the environment keeps views of the last step's

    def set_body_params(self, index, dynamics):
        self.bodies.append((index, dynamics))

    def kick(self, index, velocity):
        self.kicks.append((index, velocity))
        self.qvel[index, :2] += velocity

    @torch.inference_mode()  # as the environment's own steps are
    def stand_at(self, *places, yaw=0.0):
        """In the standing pose at the (x, y) given for each robot [m], turned by ``yaw`` [rad]."""
        self.qpos[:, :2] = torch.tensor(places)
        self.qpos[:, 2:7] = torch.tensor([0.26, math.cos(yaw / 2), 0.0, 0.0, math.sin(yaw / 2)])
        self.qpos[:, 7:] = self.standing_joint_pos


@pytest.fixture
def make_env(config):
    """``make_env(num_envs, episode_length_s=0.2, ...)``: the task, with keys of its config changed."""

    def make(num_envs, *, reward=None, seed=0, threads=1, simulation=None, **changes):
        env = Navigation.model_validate(config["env"] | changes)
        simulation = simulation or MujocoSimulation(
            num_envs, physics_dt_s=env.physics_dt_s, physics_steps=env.physics_steps, threads=threads
        )
        return NavigationEnv(env, Reward.model_validate(reward or config["reward"]), simulation=simulation, seed=seed)

    return make


@pytest.fixture
def make_puppet_env(make_env):
    """The same over ``Puppets``, its episodes begun; they are ``env.simulation``."""

    def make(num_envs, **options):
        env = make_env(num_envs, simulation=Puppets(num_envs), **options)
        env.reset()
        return env

    return make


@pytest.fixture
def browser():
    """A headless Chromium."""
    from playwright.sync_api import sync_playwright

    path = next((found for name in CHROMIUM if (found := shutil.which(name))), None)
    assert path is not None, "the tests marked browser need Chromium"
    flags = ["--no-sandbox", "--enable-unsafe-swiftshader", "--disable-background-networking"]
    with sync_playwright() as tool:
        chromium = tool.chromium.launch(executable_path=path, args=flags)
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser):
    """Open a page of plotly figures. Returns its tab, what it said on the console, and the addresses it asked for."""

    def visit(path):
        said, asked = [], []
        tab = browser.new_page()
        tab.set_default_timeout(PATIENCE_MS)
        tab.on("console", lambda message: said.append(message.text))
        tab.on("pageerror", lambda error: said.append(str(error)))
        tab.on("request", lambda request: asked.append(request.url))
        tab.goto(path.as_uri())
        drawn = "[...document.querySelectorAll('.plotly-graph-div')].every(d => d.querySelector('.main-svg'))"
        tab.wait_for_function(drawn)
        return tab, said, asked

    return visit
