"""Gymnasium's face of the task: its checker is silent, and a foreign learner trains on it."""

import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import vbot_train.env  # noqa: F401 - registers the task

NAME = "VBotNavigation-v0"


@pytest.mark.parametrize(
    "options", [{}, {"env": "section001_far", "reward": "predecessor"}, {"env": "section001_robust"}]
)
def test_gymnasiums_checker_is_silent(options):
    env = gymnasium.make(NAME, **options).unwrapped
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env)


def test_one_robot_is_truncated_after_500_steps_and_tells_its_outcome():
    env = gymnasium.make(NAME)
    env.reset(seed=0)
    for _ in range(499):
        before, _, terminated, truncated, info = env.step(np.zeros(12, np.float32))
        assert not (terminated or truncated or info)
    last, _, terminated, truncated, info = env.step(np.zeros(12, np.float32))
    assert truncated and not terminated
    np.testing.assert_allclose(last, before, atol=0.05)  # still standing where it stood
    assert info["length_s"] == pytest.approx(10.0)
    assert (info["reached"], info["fell"], info["left"]) == (False, False, False)


def test_four_robots_start_anew_in_the_same_step_and_keep_the_last_observation():
    envs = gymnasium.make_vec(NAME, num_envs=4)
    first, _ = envs.reset(seed=0)
    assert first.shape == (4, 54) and first.dtype == np.float32
    for _ in range(499):
        observation, *_, info = envs.step(np.zeros((4, 12), np.float32))
        assert "final_obs" not in info
    new, rewards, terminated, truncated, info = envs.step(np.zeros((4, 12), np.float32))
    assert rewards.shape == terminated.shape == truncated.shape == (4,)
    assert truncated.all() and info["_final_obs"].all() and not terminated.any()
    assert info["final_obs"].shape == (4, 54)
    np.testing.assert_allclose(info["final_obs"], observation, atol=0.05)  # still standing where it stood
    assert np.abs(new - info["final_obs"]).max(axis=1).min() > 0.05  # somewhere else
    np.testing.assert_allclose(info["final_info"]["length_s"], 10.0, rtol=1e-6)


def test_the_vector_environment_repeats_itself_under_a_seed():
    one, two = (gymnasium.make_vec(NAME, num_envs=4, threads=threads) for threads in (1, 2))
    np.testing.assert_array_equal(one.reset(seed=7)[0], two.reset(seed=7)[0])
    actions = np.random.default_rng(0).uniform(-1, 1, (20, 4, 12)).astype(np.float32)
    for action in actions:
        np.testing.assert_array_equal(one.step(action)[0], two.step(action)[0])


def test_copies_that_are_not_seeded_start_differently():
    observations, _ = gymnasium.make_vec(NAME, num_envs=2, vectorization_mode="sync").reset()
    assert (observations[0] != observations[1]).any()


def test_ppo_of_stable_baselines3_trains_unmodified():
    from stable_baselines3 import PPO

    agent = PPO("MlpPolicy", gymnasium.make(NAME), n_steps=256, batch_size=64, n_epochs=1, seed=0, device="cpu")
    agent.learn(512)
    assert agent.num_timesteps == 512
    assert all(np.isfinite(parameter.detach().numpy()).all() for parameter in agent.policy.parameters())
