"""What an episode tells of its start."""

import math

import pytest
import torch
from torch import tensor
from torch.testing import assert_close

from vbot_train.env.spawn import Spawn


@pytest.fixture
def starts(monkeypatch):
    """Robots start at (0, -2) m facing east, (0, 2) facing east, and (-2, 0) facing east, over and over."""
    places = tensor([[0.0, -2.0], [0.0, 2.0], [-2.0, 0.0]])

    def sample(self, count, generator):
        return places.repeat(count, 1)[:count], torch.zeros(count), torch.zeros(count, 12)

    monkeypatch.setattr(Spawn, "sample", sample)


def test_an_episode_tells_the_bearing_at_its_start_wherever_the_robot_went(starts, make_puppet_env):
    env = make_puppet_env(3, episode_length_s=0.04)
    env.step(torch.zeros(3, 12))
    env.simulation.stand_at((3.0, 0.0), (3.0, 0.0), (3.0, 0.0), yaw=1.0)
    episodes = env.step(torch.zeros(3, 12)).episodes
    assert_close(episodes.start_bearing_rad, tensor([math.pi / 2, -math.pi / 2, 0.0]), atol=1e-6, rtol=0)


def test_a_staggered_first_episode_tells_its_bearing_too(starts, make_puppet_env):
    env = make_puppet_env(3, episode_length_s=0.2)
    env.reset(stagger=True)
    told = {}
    for _ in range(10):
        episodes = env.step(torch.zeros(3, 12)).episodes
        told |= {
            robot: bearing
            for robot, bearing in zip(episodes.robot.tolist(), episodes.start_bearing_rad.tolist(), strict=True)
            if robot not in told
        }
    assert told == pytest.approx({0: math.pi / 2, 1: -math.pi / 2, 2: 0.0}, abs=1e-6)


def test_an_unstable_robot_tells_the_bearing_of_the_episode_that_it_ended(starts, make_puppet_env):
    env = make_puppet_env(3)
    env.simulation.qpos[1] = math.nan
    episodes = env.step(torch.zeros(3, 12)).episodes  # the pose that replaces the broken one is that of robot 0
    assert episodes.robot.tolist() == [1]
    assert_close(episodes.start_bearing_rad, tensor([-math.pi / 2]), atol=1e-6, rtol=0)
