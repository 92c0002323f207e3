"""A task that goes on from a state takes the same control steps as the one that the state was taken from."""

import io
from dataclasses import asdict

import pytest
import torch
from torch.testing import assert_close

from vbot_train.config.validation import compose_validated
from vbot_train.env.environment import build_env

ROBOTS, EARLIER, LATER = 32, 30, 60  # robots; control steps before and after the state is taken


@pytest.fixture(params=["section001", "section001_robust"])
def make(request):
    """``make(seed)``: short episodes near the goal, so that many end and some reach it; early pushes if any."""
    overrides = [f"env={request.param}", "env.episode_length_s=1", "simulation.threads=1"]
    overrides += ["env.spawn.min_radius_m=0.4", "env.spawn.max_radius_m=0.8"]
    if request.param == "section001_robust":
        overrides.append("env.randomization.push.interval_s=[0.1,0.5]")
    config = compose_validated(overrides)
    return lambda seed: build_env(config, num_envs=ROBOTS, seed=seed)


def stored(state):
    """A state that has been on a disk, and holds no code."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def walk(env, actions):
    """All that control steps give back."""
    return [asdict(env.step(action)) for action in actions]


def test_the_next_control_steps_from_a_state_are_the_same(make):
    draws = torch.Generator().manual_seed(0)
    actions = 3 * torch.randn(EARLIER + LATER, ROBOTS, 12, generator=draws)
    actions[5, 3] = actions[EARLIER + 5, 4] = torch.nan  # two robots that break, before and after
    env, other = make(1), make(2)
    env.reset(stagger=True)
    walk(env, actions[:EARLIER])
    state = stored(env.state_dict())
    steps = walk(env, actions[EARLIER:])
    assert sum(len(step["episodes"]["robot"]) for step in steps) > ROBOTS
    other.reset()
    walk(other, actions[:3])
    other.load_state_dict(state)
    assert_close(walk(other, actions[EARLIER:]), steps, rtol=0, atol=0, equal_nan=True)
    assert other.unstable_robots == env.unstable_robots == 2


def test_a_state_from_before_the_first_reset_begins_the_same(make):
    env, other = make(1), make(2)
    other.load_state_dict(stored(env.state_dict()))
    assert_close(other.reset(stagger=True), env.reset(stagger=True), rtol=0, atol=0)


def test_a_state_is_a_copy(make):
    env = make(1)
    env.reset()
    state, actions = env.state_dict(), torch.ones(30, ROBOTS, 12)
    before = stored(state)
    walk(env, actions)
    assert_close(stored(state), before, rtol=0, atol=0)
