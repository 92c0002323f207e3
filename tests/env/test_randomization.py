"""What is drawn when robots are randomized, who sees it, and that nothing is drawn when they are not."""

import math

import pytest
import torch
from torch import Generator, tensor
from torch.testing import assert_close

from vbot_train.config.composition import compose_config
from vbot_train.env.randomization import Randomization

OFF = compose_config()["env"]["randomization"]
ROBUST = compose_config(["env=section001_robust"])["env"]["randomization"]
SCALED_NOISE = torch.cat(  # of the observation's first 33 numbers: section001_robust's noise in the observation's scale
    [
        torch.full((3,), 2.0 * 0.1),
        torch.full((3,), 0.25 * 0.2),
        torch.full((3,), 0.05),
        torch.full((12,), 0.01),
        torch.full((12,), 0.05 * 1.5),
    ]
)
BROKEN = torch.full((1, 19), math.nan)


def only(**on):
    """Nothing randomized but this."""
    return OFF | on


def pushes(max_m_s, interval_s):
    return only(push={"max_m_s": max_m_s, "interval_s": interval_s})


def rest(env):
    return torch.zeros(env.num_envs, 12)


def random_actions(steps, num_envs):
    return 2 * torch.rand(steps, num_envs, 12, generator=Generator().manual_seed(1)) - 1


def run(env, steps, **reset):
    """Observations (steps + 1, E, 54), rewards (steps, E) and (steps, E) who ended, under random actions."""
    observations, rewards, ended = [env.reset(**reset)], [], []
    for action in random_actions(steps, env.num_envs):
        step = env.step(action)
        observations.append(step.observation)
        rewards.append(step.reward)
        ended.append(step.terminated | step.truncated)
    return torch.stack(observations), torch.stack(rewards), torch.stack(ended)


@pytest.mark.parametrize("option", ["section001", "section001_far"])
def test_what_is_off_draws_nothing_and_touches_no_robot(option, make_puppet_env):
    env = make_puppet_env(4, **compose_config([f"env={option}"])["env"])
    generator = Generator().manual_seed(0)
    randomization = Randomization(env.config.randomization, num_envs=4, control_dt_s=0.02, generator=generator)
    state, action = env._state(), torch.ones(4, 12)
    for _ in range(1000):
        randomization.begin(env.simulation, torch.arange(4))
        randomization.push(env.simulation)
        assert randomization.with_observation_noise(state) is state and randomization.delayed(action) is action
    assert torch.equal(generator.get_state(), Generator().manual_seed(0).get_state())
    assert env.simulation.bodies == [] and env.simulation.kicks == []


def test_every_robot_gets_a_body_of_its_own_within_the_ranges(make_puppet_env):
    env = make_puppet_env(1000, randomization=ROBUST)
    ((index, body),) = env.simulation.bodies
    assert index.tolist() == list(range(1000))
    for drawn, low, high in (
        (body.friction, 0.4, 1.2),
        (body.payload_kg, 0.0, 3.0),
        (body.motor_strength, 0.85, 1.15),
        *((body.com_offset_m[:, axis], -0.03, 0.03) for axis in range(3)),
    ):
        share = (drawn - low) / (high - low)
        assert drawn.shape == (1000,) and len(drawn.unique()) > 990
        assert -1e-6 <= share.min() < 0.01 and 0.99 < share.max() <= 1 + 1e-6
        assert share.mean() == pytest.approx(0.5, abs=0.05)  # five standard errors of 0.29 / sqrt(1000)


def test_a_new_episode_brings_a_new_body_to_its_robot_only(make_puppet_env):
    env = make_puppet_env(3, randomization=only(payload_kg=[0.0, 3.0]))
    env.simulation.qvel[1, 6] = 101.0  # unstable: its episode ends
    env.step(rest(env))
    (_, first), (index, second) = env.simulation.bodies
    assert index.tolist() == [1] and second.payload_kg[0] != first.payload_kg[1]
    assert first.friction.tolist() == [1.0] * 3 and first.motor_strength.tolist() == [1.0] * 3
    assert not first.com_offset_m.any()


@pytest.mark.parametrize("steps", [1, 3])
def test_an_action_takes_effect_just_as_many_control_steps_late(make_puppet_env, steps):
    prompt, late = make_puppet_env(2), make_puppet_env(2, randomization=only(latency_steps=steps))
    targets = []
    for number, action in enumerate(random_actions(8, 2)):
        prompt.step(action)
        late.step(action)
        targets.append(prompt.simulation.joint_target)
        expected = targets[number - steps] if number >= steps else late.simulation.standing_joint_pos.expand(2, 12)
        assert torch.equal(late.simulation.joint_target, expected)


def test_a_late_action_does_not_reach_into_the_next_episode(make_puppet_env):
    env = make_puppet_env(2, randomization=only(latency_steps=2))
    moved = []
    for step in range(5):
        with torch.inference_mode():
            env.simulation.qvel[1, 6] = 101.0 if step == 1 else 0.0  # unstable: the second robot's episode ends
        env.step(torch.ones(2, 12))
        moved.append((env.simulation.joint_target - env.simulation.standing_joint_pos)[:, 0].tolist())
    # 0.75 rad x the smoothed actions 0.5, 0.75, 0.875 of the steps 1, 2, 3; the second robot's start anew with step 3
    assert moved == [
        pytest.approx([0.75 * a, 0.75 * b]) for a, b in ((0, 0), (0, 0), (0.5, 0), (0.75, 0), (0.875, 0.5))
    ]


def test_noise_lies_within_its_bounds_and_only_on_what_the_robot_measures(make_puppet_env):
    exact, noisy = make_puppet_env(500), make_puppet_env(500, randomization=only(noise=ROBUST["noise"]))
    for env in (exact, noisy):
        env.simulation.stand_at(*[(2.0, 0.0)] * 500)
    a, b = exact.step(rest(exact)), noisy.step(rest(noisy))
    for name in ("observation", "final_observation"):
        error = getattr(b, name) - getattr(a, name)
        share = error[:, :33] / SCALED_NOISE
        assert -1.001 < share.min() < -0.99 and 0.99 < share.max() < 1.001
        assert share.mean(dim=0).abs().max() < 0.15  # of +-1, over 500 robots: more than five standard errors
        assert not error[:, 33:].any()
    assert torch.equal(a.reward, b.reward)


def test_noise_is_drawn_anew_at_each_step_and_at_reset_and_last_observations_have_it_too(make_puppet_env):
    env = make_puppet_env(4, randomization=only(noise=ROBUST["noise"]), episode_length_s=0.04)
    env.simulation.stand_at(*[(2.0, 0.0)] * 4)
    first, last = env.step(rest(env)), env.step(rest(env))
    assert last.truncated.all()
    seen = [first.observation, last.final_observation, last.observation]
    velocities = torch.stack([observation[:, :3] for observation in seen])  # of robots at rest: noise alone
    assert len(velocities.unique()) == 3 * 4 * 3
    assert torch.equal(first.observation, first.final_observation)


def test_noise_changes_neither_rewards_nor_outcomes(make_env):
    exact, noisy = make_env(8), make_env(8, randomization=only(noise=ROBUST["noise"]))
    (_, rewards, ended), (_, noisy_rewards, noisy_ended) = run(exact, 50, seed=3), run(noisy, 50, seed=3)
    assert not ended.any() and torch.equal(ended, noisy_ended)
    assert torch.equal(rewards, noisy_rewards)


def test_pushes_come_at_the_interval_and_anew_with_each_episode(make_puppet_env):
    env = make_puppet_env(2, randomization=pushes(0.8, [0.1, 0.1]), episode_length_s=0.24)  # every 5 of 12 steps
    pushed = []
    for step in range(24):
        before = len(env.simulation.kicks)
        env.step(rest(env))
        pushed += [step] * (len(env.simulation.kicks) - before)
    assert pushed == [5, 10, 17, 22]  # 5 and 10 control steps after the starts at 0 and 12
    assert all(index.tolist() == [0, 1] for index, _ in env.simulation.kicks)


def test_times_between_pushes_are_uniform_within_the_interval(make_puppet_env):
    env = make_puppet_env(2000, randomization=pushes(0.8, [0.2, 0.3]))  # 10 to 15 control steps
    counts = []
    for _ in range(20):
        env.simulation.kicks.clear()
        env.step(rest(env))
        counts.append(sum(len(index) for index, _ in env.simulation.kicks))
    assert sum(counts) == sum(counts[10:16]) == 2000
    for count, expected in zip(counts[10:16], (200, 400, 400, 400, 400, 200), strict=True):  # the ends are rounded to
        assert count == pytest.approx(expected, abs=90)  # five standard errors


def test_pushes_go_in_all_directions_with_speeds_up_to_the_largest(make_puppet_env):
    env = make_puppet_env(2000, randomization=pushes(0.8, [0.04, 0.04]))
    for _ in range(3):
        env.step(rest(env))
    ((_, velocity),) = env.simulation.kicks
    speed = velocity.norm(dim=1)
    assert speed.min() < 0.01 and 0.79 < speed.max() <= 0.8 and speed.mean() == pytest.approx(0.4, abs=0.03)
    assert velocity.mean(dim=0).abs().max() < 0.05


def test_a_push_is_felt_in_the_velocity_that_is_rewarded(make_puppet_env):
    env = make_puppet_env(1, randomization=pushes(0.8, [0.04, 0.04]))
    for _ in range(3):
        env.step(rest(env))
    ((_, velocity),) = env.simulation.kicks
    assert_close(env.simulation.qvel[:, :2], velocity)


def test_the_same_seed_repeats_randomized_episodes_whatever_was_before(make_env):
    env, other = (make_env(6, seed=seed, randomization=ROBUST, episode_length_s=3.0) for seed in (0, 9))
    first = run(env, 200, seed=5)  # with pushes, and over a reset
    assert first[2].sum() >= 6
    for again in (run(env, 200, seed=5), run(other, 200, seed=5)):
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(run(env, 1, seed=6)[0], first[0][:2])


def test_randomized_robots_start_where_others_with_their_seed_do(make_env):
    plain, robust = make_env(8), make_env(8, randomization=ROBUST)
    plain.reset(seed=3), robust.reset(seed=3)
    assert torch.equal(plain.simulation.qpos, robust.simulation.qpos)


def test_broken_physics_of_a_randomized_robot_ends_one_episode_only(make_env):
    env = make_env(3, randomization=ROBUST)
    env.reset()
    env.simulation.place(tensor([1]), BROKEN)
    for number in range(5):
        step = env.step(rest(env))
        assert step.terminated.tolist() == [False, number == 0, False]
        assert step.observation.isfinite().all() and step.final_observation.isfinite().all()
    assert env.unstable_robots == 1
