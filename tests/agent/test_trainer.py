"""The training loop: stopped between two updates, it goes on to the same result."""

import copy
import math
from dataclasses import asdict

import pytest
import torch
from torch.testing import assert_close

from vbot_train.agent.networks import Spaces
from vbot_train.agent.ppo import build_agent
from vbot_train.agent.trainer import TrainingLoop
from vbot_train.config.validation import compose_validated
from vbot_train.env.environment import build_env


@pytest.fixture
def make_loop():
    """``make_loop("linear")``: a training of 4 updates of 16 robots, with that schedule of the learning rate."""

    def make(schedule, seed=0):
        overrides = ["env.episode_length_s=0.5", "simulation.threads=1", "ppo.kl_target=0.0001"]
        config = compose_validated([*overrides, f"ppo.learning_rate_schedule={schedule}"])
        torch.manual_seed(seed)
        env = build_env(config, num_envs=16, seed=seed)
        agent = build_agent(config.ppo, [16], Spaces.of(54, 12), num_envs=16, env_steps=4 * 16 * config.ppo.rollouts)
        return TrainingLoop(agent, env, updates=4), agent

    return make


def told(updates):
    return [{**asdict(update), "env_steps_per_s": 0.0} for update in updates]


@pytest.mark.parametrize("schedule", ["linear", "kl", "none"])
@pytest.mark.parametrize("done", [0, 1, 3])
def test_a_loop_goes_on_from_a_state_to_the_same_updates_and_weights(make_loop, schedule, done):
    loop, agent = make_loop(schedule)
    updates = iter(loop)
    for _ in range(done):
        next(updates)
    state, generator = copy.deepcopy(loop.state_dict()), torch.get_rng_state()
    left = told(updates)
    assert [update["number"] for update in left] == list(range(done + 1, 5))
    other, its_agent = make_loop(schedule, seed=1)
    other.load_state_dict(state)
    torch.set_rng_state(generator)
    assert_close(told(other), left, rtol=0, atol=0, equal_nan=True)
    assert_close(its_agent.state_dict(), agent.state_dict(), rtol=0, atol=0)
    if schedule != "none":
        assert not math.isclose(left[-1]["learning_rate"], 1e-3)
