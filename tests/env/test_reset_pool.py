"""What is drawn ahead of an episode's start, and that nobody can tell."""

import math

import pytest
import torch
from torch import Generator, tensor
from torch.testing import assert_close

from vbot_train.config.composition import compose_config
from vbot_train.config.validation import compose_validated
from vbot_train.env import observations
from vbot_train.env.randomization import Randomization
from vbot_train.env.reset_pool import AHEAD, ResetPool
from vbot_train.env.state import build_state_at_rest

ROBUST = compose_config(["env=section001_robust"])["env"]["randomization"]


@pytest.fixture
def build(make_puppet_env):
    """Starts of section001, from a seed."""

    def build_starts(seed):
        env, generator = make_puppet_env(1), Generator().manual_seed(seed)
        randomization = Randomization(env.config.randomization, num_envs=1, control_dt_s=0.02, generator=generator)
        starts = ResetPool(env.config, simulation=env.simulation, randomization=randomization, generator=generator)
        return starts, generator

    return build_starts


def test_starts_of_one_batch_are_the_same_one_by_one_and_many_at_a_time(build):
    (one_by_one, _), (at_once, _) = build(seed=3), build(seed=3)
    poses = torch.cat([one_by_one.take(1).pose for _ in range(AHEAD)])
    assert torch.equal(poses, at_once.take(AHEAD).pose)
    assert len(torch.unique(poses, dim=0)) == AHEAD
    assert torch.equal(one_by_one.take(1).pose, at_once.take(1).pose)  # of the next batch


def test_more_starts_than_are_drawn_ahead_can_be_taken(build):
    starts, _ = build(seed=3)
    starts.take(1)
    poses = starts.take(AHEAD + 1).pose
    assert len(torch.unique(poses, dim=0)) == AHEAD + 1


def test_a_new_seed_counts_at_once(build):
    starts, generator = build(seed=3)
    first = starts.take(5).pose
    generator.manual_seed(3)
    starts.clear()
    assert torch.equal(starts.take(5).pose, first)


def test_the_observation_of_a_start_is_that_of_a_robot_standing_there(make_puppet_env):
    env = make_puppet_env(100, spawn={"min_radius_m": 0.0, "max_radius_m": 2.0, "joint_noise_rad": 0.05})
    observation = env.reset(seed=1)
    assert_close(observation, observations.observe(env._state()))
    assert 0 < observation[:, 52].sum() < 100  # some start inside the goal radius


def test_a_robot_at_rest_by_hand():
    pose = tensor([[3.0, 4.0, 0.3, math.cos(math.pi / 4), 0, 0, math.sin(math.pi / 4), *[0.5] * 12]])  # facing north
    state = build_state_at_rest(pose, config=compose_validated().env, standing_joint_pos=torch.full((12,), 0.4))
    assert_close(state.goal_error_b, tensor([[-4.0, 3.0]]))
    assert_close(state.goal_distance, tensor([5.0]))
    assert_close(state.goal_bearing, tensor([math.pi - math.atan(3 / 4)]))
    assert_close(state.projected_gravity_b, tensor([[0.0, 0.0, -1.0]]))
    assert_close(state.joint_pos, torch.full((1, 12), 0.1))
    assert not state.goal_reached and not state.joint_vel.any() and not state.action.any()


def test_each_start_is_sensed_with_noise_of_its_own(make_puppet_env):
    env = make_puppet_env(100, randomization=ROBUST)
    speeds = env.reset(seed=1)[:, :3] / 2.0  # [m/s]; the robots stand
    assert speeds.abs().max() <= 0.1 and len(torch.unique(speeds)) > 290
