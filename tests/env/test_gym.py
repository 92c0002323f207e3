"""Gymnasium's face of the task: its checker is silent, and a foreign learner trains on it."""

import copy
import pickle
import sys
import warnings

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.error import ResetNeeded
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


REST = np.zeros(12, np.float32)


def test_max_episode_steps_ends_the_episodes_of_many_robots_as_it_does_of_one():
    one, many = (make(NAME, max_episode_steps=3) for make in (gymnasium.make, gymnasium.make_vec))
    one.reset(seed=0), many.reset(seed=0)
    for step in range(1, 4):
        truncated, (*_, too, info) = one.step(REST)[3], many.step(REST[None])
        assert truncated == too[0] == (step == 3)
    np.testing.assert_allclose(info["final_info"]["length_s"], 0.06, rtol=1e-6)


@pytest.mark.parametrize("limit", [501, -1, None])
def test_max_episode_steps_makes_no_episode_longer_than_the_task_s(limit):
    assert gymnasium.make_vec(NAME, 2, max_episode_steps=limit)._env.max_steps == 500


@pytest.mark.parametrize("limit", [0, -2, 2.5, "20"])
def test_max_episode_steps_that_is_no_number_of_steps_is_refused(limit):
    with pytest.raises(ValueError, match=f"max_episode_steps={limit}: must be a positive number of control steps"):
        gymnasium.make_vec(NAME, 2, max_episode_steps=limit)


def test_a_reset_mask_starts_some_robots_anew_and_leaves_the_others_alone():
    masked, whole = (gymnasium.make_vec(NAME, 3, max_episode_steps=8) for _ in range(2))
    masked.reset(seed=1), whole.reset(seed=1)
    action = np.ones((3, 12), np.float32)
    for _ in range(5):
        masked.step(action)
        before, *_ = whole.step(action)
    options = {"reset_mask": np.array([False, True, False])}
    after, _ = masked.reset(options=options)
    np.testing.assert_array_equal(after[[0, 2]], before[[0, 2]])
    assert (before[:, 33:45] > 0.9).all() and (after[1, 33:45] == 0).all()  # smoothed action: the second has none yet
    assert set(options) == {"reset_mask"}  # a wrapper may want to read it too
    ended = []
    for step in range(6, 14):
        (ours, *_, truncated, _), (theirs, *_) = masked.step(action), whole.step(action)
        if step < 8:
            np.testing.assert_array_equal(ours[[0, 2]], theirs[[0, 2]])
        ended.append(truncated.tolist())
    assert np.argmax(ended, axis=0).tolist() == [2, 7, 2]  # at control step 8, the second 8 after it began anew


@pytest.mark.parametrize("mask", [[True, False], np.array([1, 0]), np.ones(3, bool), np.zeros(2, bool)])
def test_a_reset_mask_that_does_not_fit_is_refused(mask):
    envs = gymnasium.make_vec(NAME, 2)
    envs.reset(seed=0)
    with pytest.raises(ValueError, match=r"reset_mask=.*: must be a NumPy array of 2 bools, at least one of them True"):
        envs.reset(options={"reset_mask": mask})


def test_a_control_step_before_the_first_reset_is_refused():
    envs = gymnasium.make_vec(NAME, 2)
    with pytest.raises(ResetNeeded):
        envs.step(np.zeros((2, 12), np.float32))
    with pytest.raises(ResetNeeded):
        envs.reset(options={"reset_mask": np.array([True, False])})


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])  # noqa: S301
@pytest.mark.parametrize("make", [gymnasium.make, gymnasium.make_vec])
def test_a_pickled_environment_is_its_arguments_and_has_no_episode_yet(make, copied):
    env = make(NAME, env="section001_far", reward="predecessor", max_episode_steps=3)
    first, _ = env.reset(seed=0)
    action = env.action_space.sample()
    paid = env.step(action)[1]
    other = copied(env)
    with pytest.raises(ResetNeeded):
        other.step(action)
    np.testing.assert_array_equal(other.reset(seed=0)[0], first)
    np.testing.assert_array_equal(other.step(action)[1], paid)
    other.step(action)
    assert np.all(other.step(action)[3])


@pytest.fixture
def two_torch_threads():
    """This process computes with two threads of torch's, and has done so."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    torch.ones(1_000_000).exp()
    yield
    torch.set_num_threads(before)


@pytest.mark.skipif(sys.platform != "linux", reason="forks")
def test_forked_copies_run_though_the_process_had_threads_of_torch(two_torch_threads):
    vector = {"vectorization_mode": "async", "vector_kwargs": {"context": "fork"}}
    envs = gymnasium.make_vec(NAME, num_envs=2, **vector)
    try:
        envs.reset_async(seed=0)
        envs.reset_wait(timeout=30)
        envs.step_async(np.zeros((2, 12), np.float32))
        assert envs.step_wait(timeout=30)[0].shape == (2, 54)
    finally:
        envs.close(terminate=True)
    assert torch.get_num_threads() == 2  # in here nothing has changed


def test_ppo_of_stable_baselines3_trains_unmodified():
    from stable_baselines3 import PPO

    agent = PPO("MlpPolicy", gymnasium.make(NAME), n_steps=256, batch_size=64, n_epochs=1, seed=0, device="cpu")
    agent.learn(512)
    assert agent.num_timesteps == 512
    assert all(np.isfinite(parameter.detach().numpy()).all() for parameter in agent.policy.parameters())
