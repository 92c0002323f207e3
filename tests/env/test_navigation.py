"""Episodes: how they run, end, pay and start again."""

import math

import pytest
import torch
from torch import tensor
from torch.testing import assert_close

from vbot_train.config.composition import compose_config
from vbot_train.env import rewards

UPSIDE_DOWN = tensor([[3.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0] + [0.0, 0.9, -1.8] * 4])
BONUSES = {"arrival_bonus": {"weight": 2.0}, "inner_fence_bonus": {"weight": 3.0}}


def rest(env):
    return torch.zeros(env.num_envs, 12)


def random_actions(steps, num_envs):
    return 2 * torch.rand(steps, num_envs, 12, generator=torch.Generator().manual_seed(1)) - 1


@pytest.mark.parametrize(
    ("option", "ring"),
    [("section001", (2.0, 5.0)), ("section001_far", (8.0, 11.0)), ("section001_robust", (2.0, 5.0))],
)
def test_config_has_the_numbers_that_comparisons_rest_on(option, ring):
    env = compose_config([f"env={option}"])["env"]
    assert (env["physics_dt_s"], env["physics_steps"], env["episode_length_s"]) == (0.01, 2, 10.0)
    assert (env["goal_radius_m"], env["inner_fence_radius_m"], env["platform_radius_m"]) == (0.5, 0.75, 12.5)
    assert (env["max_tilt_deg"], env["max_joint_speed_rad_s"]) == (75.0, 100.0)
    assert (env["spawn"]["min_radius_m"], env["spawn"]["max_radius_m"]) == ring


def test_reset_and_step_shapes(make_env):
    env = make_env(3)
    assert env.reset().shape == (3, 54)
    step = env.step(rest(env))
    assert step.observation.shape == step.final_observation.shape == (3, 54)
    assert step.reward.shape == step.terminated.shape == step.truncated.shape == (3,)
    assert len(step.episodes.robot) == 0


def test_action_is_clipped_smoothed_and_scaled_about_the_standing_pose(make_puppet_env):
    env = make_puppet_env(1)
    for smoothed in (0.5, 0.75):  # 0.5 x 1 + 0.5 x 0; 0.5 x 1 + 0.5 x 0.5
        observation = env.step(torch.full((1, 12), 3.0)).final_observation
        assert_close(observation[0, 33:45], torch.full((12,), smoothed))
        assert_close(
            env.simulation.joint_target[0] - env.simulation.standing_joint_pos, torch.full((12,), 0.75 * smoothed)
        )


def test_speed_towards_the_goal_is_the_distance_gained_per_control_step(make_puppet_env):
    env = make_puppet_env(2, reward={"approach": {"weight": 1.0, "max_m_s": 100.0}})
    env.simulation.stand_at((3.0, 4.0), (0.0, -3.0))
    env.step(rest(env))
    env.simulation.stand_at((2.97, 3.96), (0.0, -3.05))  # 0.05 m nearer, 0.05 m farther
    assert_close(env.step(rest(env)).reward, tensor([0.05, 0.0]), atol=1e-5, rtol=0)  # 0.05 m / 0.02 s x 0.02 s


def test_progress_is_measured_from_the_start_of_the_episode(make_puppet_env):
    progress = {"distance_progress": {"weight": 50.0, "min_share": -0.5, "max_share": 1.0}}
    env = make_puppet_env(3, reward=progress, episode_length_s=0.02)
    for share in (0.5, 0.25):  # of the way to the goal, in two episodes from different starts
        with torch.inference_mode():
            env.simulation.qpos[:, :2] *= 1 - share
        assert_close(env.step(rest(env)).reward, torch.full((3,), share))  # 50 x 0.02 s x share


def test_change_of_the_action_is_measured_over_one_control_step(make_puppet_env):
    env = make_puppet_env(1, reward={"action_rate": {"weight": 50.0}}, episode_length_s=0.04)  # 50 x 0.02 s = 1
    paid = [env.step(torch.ones(1, 12)).reward.item() for _ in range(4)]
    assert paid == [3.0, 0.75, 3.0, 0.75]  # 0 to 0.5 to 0.75, twice: 12 x 0.5^2, 12 x 0.25^2


def test_change_of_the_joint_velocity_is_measured_over_one_control_step(make_env):
    env = make_env(2, reward={"dof_acc": {"weight": 50.0}})
    env.reset()
    for action in random_actions(3, 2):
        before = env.simulation.qvel[:, 6:].clone()
        reward = env.step(action).reward
        assert_close(reward, (env.simulation.qvel[:, 6:] - before).square().sum(dim=1))


def test_standing_robots_are_truncated_after_exactly_500_control_steps(make_env):
    env = make_env(2)
    env.reset()
    for _ in range(499):
        step = env.step(rest(env))
        assert not (step.truncated | step.terminated).any()
    step = env.step(rest(env))
    assert step.truncated.tolist() == [True, True]
    assert step.terminated.tolist() == [False, False]
    assert_close(step.episodes.length_s, tensor([10.0, 10.0]))


def test_a_reset_and_a_step_need_no_inference_mode_of_their_own(make_env):
    env = make_env(2, episode_length_s=0.04)
    for context in (torch.inference_mode, torch.no_grad, torch.enable_grad):
        with context():
            env.reset(seed=1)
            steps = [env.step(rest(env)) for _ in range(3)]  # the third begins another episode
        assert not steps[2].reward.requires_grad


def test_return_of_an_episode_is_the_sum_of_its_rewards(make_env):
    env = make_env(2, episode_length_s=0.2)
    env.reset()
    for _ in range(2):  # the second episode counts from zero again
        steps = [env.step(action) for action in random_actions(10, 2)]
        episodes = steps[-1].episodes
        assert_close(episodes.reward, torch.stack([step.reward for step in steps]).sum(dim=0))
        assert_close(episodes.reward_terms.sum(dim=1), episodes.reward)


def test_a_fallen_robot_starts_anew_in_the_same_step(make_env):
    env = make_env(2)
    env.reset()
    env.step(torch.ones(2, 12))
    env.simulation.place(tensor([1]), UPSIDE_DOWN)
    step = env.step(torch.ones(2, 12))
    assert step.terminated.tolist() == [False, True] and not step.truncated.any()
    assert_close(step.final_observation[1, 8], tensor(1.0), atol=0.01, rtol=0)  # the old episode: upside down
    assert_close(step.final_observation[1, 33:45], torch.full((12,), 0.75))
    assert_close(step.observation[1, 6:9], tensor([0.0, 0.0, -1.0]), atol=1e-6, rtol=0)  # the new one: upright
    assert_close(step.observation[1, 33:45], torch.zeros(12))
    assert torch.equal(step.observation[0], step.final_observation[0])
    assert 2.0 <= env.simulation.qpos[1, :2].norm() <= 5.0


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_broken_physics_ends_one_episode_pays_what_a_fall_pays_and_leaves_the_others_alone(make_env, number):
    broken, whole = make_env(3), make_env(3)
    broken.reset(), whole.reset()
    broken.simulation.place(tensor([1]), torch.full((1, 19), number))
    others = tensor([0, 2])
    for index, action in enumerate(random_actions(5, 3)):
        step, undisturbed = broken.step(action), whole.step(action)
        assert step.terminated.tolist() == [False, index == 0, False]
        assert step.observation.isfinite().all() and step.final_observation.isfinite().all()
        assert torch.equal(step.observation[others], undisturbed.observation[others])
        assert torch.equal(step.reward[others], undisturbed.reward[others])
        if index == 0:
            assert step.reward[1] == -30 and step.episodes.reward.tolist() == [-30.0]
            paid = dict(zip(broken.reward_terms, step.episodes.reward_terms[0].tolist(), strict=True))
            assert {name: value for name, value in paid.items() if value} == {"termination": -30.0}
            assert step.episodes.robot.tolist() == [1] and step.episodes.fell.tolist() == [True]
    assert (broken.unstable_robots, whole.unstable_robots) == (1, 0)


def test_an_action_that_is_no_number_ends_one_episode_and_is_forgotten(make_puppet_env):
    env = make_puppet_env(2)
    action = rest(env)
    action[0, 3] = math.nan
    step = env.step(action)
    assert step.terminated.tolist() == [True, False] and step.reward[0] == -30 and env.unstable_robots == 1
    assert env.step(rest(env)).final_observation.isfinite().all()


def test_mujoco_leaves_no_log_file_behind(make_env, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    env = make_env(2)
    env.simulation.place(tensor([0, 1]), torch.full((2, 19), math.nan))
    env.step(rest(env))
    assert env.unstable_robots == 2 and not list(tmp_path.iterdir())


def test_a_joint_faster_than_100_rad_s_counts_as_broken(make_puppet_env):
    env = make_puppet_env(2)
    env.simulation.qvel[:, 6] = tensor([99.0, -101.0])
    step = env.step(rest(env))
    assert step.terminated.tolist() == [False, True]
    assert step.reward[1] == -30 and env.unstable_robots == 1
    assert step.episodes.fell.tolist() == [True]


def test_becoming_unstable_later_in_an_episode_costs_a_fall_on_top_of_what_was_earned(make_puppet_env):
    terms = {"alive_bonus": {"weight": 50.0}, "termination": {"weight": -7.0}}  # 50 x 0.02 s = 1 a step
    env = make_puppet_env(1, reward=terms)
    env.step(rest(env)), env.step(rest(env))
    env.simulation.qvel = torch.full((1, 18), math.nan)
    assert env.step(rest(env)).episodes.reward_terms.tolist() == [[2.0, -7.0]]


def test_without_a_price_for_falling_becoming_unstable_has_none(make_puppet_env):
    env = make_puppet_env(1, reward={"alive_bonus": {"weight": 50.0}})
    env.simulation.qvel = torch.full((1, 18), math.nan)
    assert env.step(rest(env)).reward.tolist() == [0.0]


def test_staggered_first_episodes_end_at_many_steps_and_later_ones_last_in_full(make_env):
    env = make_env(16, episode_length_s=0.4)  # 20 control steps
    env.reset(stagger=True)
    steps = [env.step(rest(env)) for _ in range(40)]
    ended = torch.stack([step.truncated for step in steps])  # (40, 16)
    first = ended.float().argmax(dim=0)
    assert len(first.unique()) > 5
    assert all(ended[:, robot].nonzero().squeeze(1).tolist()[:2] == [age, age + 20] for robot, age in enumerate(first))
    for number, step in enumerate(steps[:20], start=1):  # an episode cut short tells its own length, 20 ms a step
        torch.testing.assert_close(step.episodes.length_s, torch.full((len(step.episodes.robot),), 0.02 * number))


def test_the_same_seed_gives_the_same_robots_on_one_thread_and_on_two(make_env):
    one, two = make_env(8, seed=3, episode_length_s=0.5), make_env(8, seed=3, threads=2, episode_length_s=0.5)
    assert torch.equal(one.reset(), two.reset())
    for action in random_actions(60, 8):  # over two resets
        a, b = one.step(action), two.step(action)
        assert torch.equal(a.observation, b.observation)
        assert torch.equal(a.reward, b.reward)


def test_reset_with_a_seed_repeats_the_starts_and_another_seed_gives_others(make_env):
    env = make_env(4)
    first = env.reset(seed=5)
    assert torch.equal(env.reset(seed=5), first)
    assert not torch.equal(env.reset(seed=6), first)


def test_bonuses_are_paid_once_per_episode_and_again_in_the_next(make_puppet_env):
    env = make_puppet_env(1, reward=BONUSES, episode_length_s=0.12)  # 6 control steps
    for _ in range(2):
        paid = []
        for x in (2.0, 0.7, 0.4, 2.0, 0.7, 0.4):  # fence at 0.75 m, goal at 0.5 m, and both a second time
            env.simulation.stand_at((x, 0.0))
            step = env.step(rest(env))
            paid.append(step.reward.item())
        assert paid == [0.0, 3.0, 2.0, 0.0, 0.0, 0.0]
        assert step.episodes.reached.tolist() == step.episodes.fenced.tolist() == [True]
        assert_close(step.episodes.time_to_goal_s, tensor([0.06]))  # the third control step
        assert_close(step.episodes.final_distance_m, tensor([0.4]))


def test_an_episode_without_arrival_has_no_time_to_goal(make_puppet_env):
    env = make_puppet_env(1, reward=BONUSES, episode_length_s=0.02)
    env.simulation.stand_at((0.6, 0.0))
    episodes = env.step(rest(env)).episodes
    assert (episodes.reached.item(), episodes.fenced.item()) == (False, True)
    assert episodes.time_to_goal_s.isnan().all()


def test_fine_tracking_begins_with_the_step_of_arrival_and_ends_with_the_episode(make_puppet_env):
    fine = {"fine_position_tracking": {"weight": 50.0, "sigma_m": 0.4, "range_m": 2.5}}
    env = make_puppet_env(1, reward=fine, episode_length_s=0.06)
    for _ in range(2):
        paid = []
        for x in (0.8, 0.4, 0.8):
            env.simulation.stand_at((x, 0.0))
            paid.append(env.step(rest(env)).reward.item())
        assert paid == pytest.approx([0.0, math.exp(-1), math.exp(-2)])  # x / 0.4


def test_the_stop_budget_runs_from_the_first_arrival_of_each_episode(make_puppet_env):
    stopping = {"stopping": {"weight": 25.0, "max_speed_m_s": 0.3, "budget_s": 0.05}}
    env = make_puppet_env(1, reward=stopping, episode_length_s=0.12)
    for _ in range(2):
        paid = []
        for x in (2.0, 0.4, 2.0, 0.4, 0.4, 0.4):
            env.simulation.stand_at((x, 0.0))
            paid.append(env.step(rest(env)).reward.item())
        # 25 x 0.02 x 2 = 1 at 0, 0.02 (outside) and 0.04 s after the first arrival, not at 0.06 s
        assert paid == pytest.approx([0.0, 1.0, 0.0, 1.0, 0.0, 0.0])


def test_a_term_of_weight_zero_is_not_computed(make_env, monkeypatch):
    def computed(state):
        raise AssertionError("computed")

    monkeypatch.setitem(rewards.TERMS, "torques", computed)
    env = make_env(1, reward=BONUSES | {"torques": {"weight": 0.0}})
    env.reset()
    env.step(rest(env))
    env = make_env(1, reward=BONUSES | {"torques": {"weight": 1e-9}})
    env.reset()
    with pytest.raises(AssertionError, match="computed"):
        env.step(rest(env))
