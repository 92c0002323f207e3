"""Another task touches ``env/``, ``conf/env/`` and one model of the schema: a copy of the package shows it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from vbot_train.training.result import TrialResult

ROOT = Path(__file__).parents[2]

MODEL = '''class Point(Env):
    """A point that moves to the goal."""

    task: Literal["point"]
    max_speed_m_s: Positive
    goal_radius_m: Positive
    start_radius_m: Positive


'''
OPTION = """# @package _global_
training:
  env_steps: 20_000
env:
  task: point
  episode_length_s: 2.0
  physics_dt_s: 0.02
  physics_steps: 1
  max_speed_m_s: 1.0
  goal_radius_m: 0.3
  start_radius_m: 1.0
"""
TASK = '''"""A point that moves to the goal: two numbers per action, four per observation."""

import math
from types import SimpleNamespace

import torch

from vbot_train.config.reward_terms import Term
from vbot_train.env.episodes import RunningEpisodes, Step


class PointEnv:
    observation_size, action_size, unstable_robots = 4, 2, 0
    reward_terms = {"distance": Term(weight=-1.0)}
    robot_xml = poses = None

    def __init__(self, config, *, num_envs, seed):
        self.config, self.num_envs, self.device = config, num_envs, torch.device("cpu")
        self.control_dt_s, self.max_steps = config.control_dt_s, round(config.control_steps)
        self.start_range_m = (0.0, config.start_radius_m)
        self._generator = torch.Generator().manual_seed(seed)
        self._position, self._velocity = torch.zeros(num_envs, 2), torch.zeros(num_envs, 2)
        self._episode = RunningEpisodes(num_envs, 1, self.control_dt_s, self.device)

    def describe_interface(self):
        return {}

    def reset(self, *, seed=None, stagger=False, robots=None):
        if seed is not None:
            self._generator.manual_seed(seed)
        index = torch.arange(self.num_envs) if robots is None else robots
        angle = 2 * math.pi * torch.rand(len(index), generator=self._generator)
        self._position[index] = self.config.start_radius_m * torch.stack([angle.cos(), angle.sin()], dim=1)
        self._velocity[index] = 0.0
        self._episode.begin(index, self._position[index].norm(dim=1), torch.zeros(len(index)))
        return self._observe()[index]

    def step(self, action):
        self._velocity = self.config.max_speed_m_s * action.clamp(-1.0, 1.0)
        self._position = self._position + self.control_dt_s * self._velocity
        episode, distance = self._episode, self._position.norm(dim=1)
        episode.steps += 1
        reached = distance < self.config.goal_radius_m
        first = reached & (episode.arrival_step < 0)
        episode.note_progress(SimpleNamespace(first_arrival=first, first_fence=first))
        episode.returns -= self.control_dt_s * distance
        episode.distance = distance
        truncated, never = episode.steps >= self.max_steps, torch.zeros_like(reached)
        final, ended = self._observe(), truncated.nonzero().squeeze(1)
        episodes = episode.sum_up(ended, never, never)
        if len(ended):
            self.reset(robots=ended)
        return Step(self._observe(), final, -self.control_dt_s * distance, never, truncated, episodes)

    def state_dict(self):
        own = {"position": self._position, "velocity": self._velocity, "generator": self._generator.get_state()}
        return {**{name: value.clone() for name, value in own.items()}, "episode": self._episode.state_dict()}

    def load_state_dict(self, state):
        self._position, self._velocity = state["position"].clone(), state["velocity"].clone()
        self._generator.set_state(state["generator"])
        self._episode.load_state_dict(state["episode"])

    def _observe(self):
        return torch.cat([self._position, self._velocity], dim=1)
'''


def edit(path, *changes):
    """Replace each (old, new) text, which stands there once."""
    text = path.read_text(encoding="utf-8")
    for old, new in changes:
        assert text.count(old) == 1
        text = text.replace(old, new)
    path.write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of the package and ``conf/`` with the task of a point: two new files, two changed ones."""
    copy = tmp_path_factory.mktemp("checkout")
    for folder in ("vbot_train", "conf"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "conf" / "env" / "point.yaml").write_text(OPTION, encoding="utf-8")
    (copy / "vbot_train" / "env" / "point.py").write_text(TASK, encoding="utf-8")
    last = "# The tasks. With more than one:"
    both = 'Task = Annotated[Navigation | Point, Field(discriminator="task")]\n'
    edit(
        copy / "vbot_train" / "config" / "tasks.py",
        (last, MODEL + last),
        ("Task = Navigation\n", both),
        ("import Literal, Self\n", "import Annotated, Literal, Self\n"),
        ("import model_validator\n", "import Field, model_validator\n"),
    )
    begin = "    simulation = build_simulation("
    choose = (
        "    if isinstance(config.env, Point):\n        return PointEnv(config.env, num_envs=num_envs, seed=seed)\n"
    )
    edit(
        copy / "vbot_train" / "env" / "environment.py",
        ("import Env\n", "import Env, Point\n"),
        ("import NavigationEnv\n", "import NavigationEnv\nfrom vbot_train.env.point import PointEnv\n"),
        (begin, choose + begin),
    )
    return copy


@pytest.fixture(scope="module")
def run(checkout):
    """``run("env=point")``: a command line in that checkout."""

    def run_line(*arguments, module="vbot_train"):
        line = [sys.executable, "-m", module, *arguments]
        environment = {**os.environ, "PYTHONPATH": str(checkout)}
        return subprocess.run(line, cwd=checkout, env=environment, capture_output=True, text=True, timeout=300)

    return run_line


@pytest.mark.slow
def test_it_is_trained_with_networks_of_its_own_size_and_evaluated(run, checkout):
    done = run("env=point", "training=smoke", "training.env_steps=40_000", "network=small", "hydra.run.dir=run")
    assert done.returncode == 0, done.stderr
    result = TrialResult.load(checkout / "run")
    assert result.status == "completed" and result.reward_terms.keys() == {"distance"}
    assert result.metrics["final_distance_m"] < 1.0  # of 1 m at the start: it moves towards the goal
    found = run("run", "--episodes", "16", "--json", "found.json", module="vbot_train.evaluate")
    assert found.returncode == 0, found.stderr
    film = run("run", "--video", "film.mp4", module="vbot_train.evaluate")
    assert (film.returncode, film.stderr) == (1, "--video: env.task=point has no video\n")
    exported = run("run", "policy.onnx", module="vbot_train.export")
    assert exported.returncode == 0, exported.stderr
    again = run("policy.onnx", "--episodes", "16", module="vbot_train.evaluate")
    assert again.returncode == 0, again.stderr
    metrics = yaml.safe_load((checkout / "found.json").read_text(encoding="utf-8"))["metrics"]
    assert metrics | {"env_steps_to_success": None} == result.metrics | {"env_steps_to_success": None}


@pytest.mark.slow
def test_it_is_an_environment_for_mypy(checkout):
    line = [sys.executable, "-m", "mypy", "--ignore-missing-imports", "-p", "vbot_train.env"]
    done = subprocess.run(line, cwd=checkout, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout
    edit(checkout / "vbot_train" / "env" / "point.py", ("action_size, unstable_robots", "actions, unstable_robots"))
    broken = subprocess.run(line, cwd=checkout, capture_output=True, text=True, timeout=300)
    edit(checkout / "vbot_train" / "env" / "point.py", ("actions, unstable_robots", "action_size, unstable_robots"))
    assert '"PointEnv" is missing following "Environment" protocol member' in broken.stdout


@pytest.mark.slow
def test_a_search_over_it_ends_with_an_analysis(run, checkout):
    cells = ["ppo.learning_rate=1e-3,3e-3", "search.confirm=none", "search.test=none", "workers=2"]
    done = run("-m", "env=point", "training=smoke", "network=small", "study=points", *cells)
    assert done.returncode == 0, done.stderr
    assert (checkout / "multirun" / "points" / "analysis" / "report.html").is_file()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("+env.goal_radius=0.4", "env.goal_radius=0.4: no such key; did you mean env.goal_radius_m?"),
        ("env.max_speed_m_s=-1", "env.max_speed_m_s=-1: must be more than 0"),
        ("env.task=line", "env.task=line: choose one of navigation, point"),
        ("~env.task", "env.task: is missing"),
        ("env.physics_dt_s=5", "env.episode_length_s=2.0: lasts 0.4 control steps of 5 s; must be at least 1"),
    ],
)
def test_its_keys_are_checked_like_all_others(run, argument, message):
    done = run("env=point", "training=smoke", argument)
    assert done.returncode == 1 and done.stderr.startswith(message) and done.stderr.count("\n") == 1
