"""Which checkpoint is kept, of evaluations made up by hand."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch import tensor

from vbot_train.config.validation import compose_validated
from vbot_train.env.episodes import Episodes
from vbot_train.evaluation.held_out import estimate_standard_errors
from vbot_train.training import selection
from vbot_train.training.selection import Score, Selection

LUCKY, WORSE, HOPELESS = [1.0] * 19 + [0.0], [1.0] * 18 + [0.0] * 2, [1.0] * 10 + [0.0] * 10
# success rates 0.95, 0.90, 0.50 of 20 episodes; standard errors sqrt(p (1 - p) / 19) = 0.050, 0.069, 0.115


def episodes(success, reward=None):
    """Episodes that reach the goal or do not, after 1, 2, 3 ... s."""
    reached, zeros = tensor(success).bool(), torch.zeros(len(success))
    return Episodes(
        robot=torch.arange(len(success)),
        reward=zeros if reward is None else tensor(reward),
        reward_terms=zeros.unsqueeze(1),
        length_s=zeros,
        reached=reached,
        fenced=reached,
        fell=zeros.bool(),
        left=zeros.bool(),
        time_to_goal_s=torch.where(reached, torch.arange(1.0, len(success) + 1), torch.nan),
        final_distance_m=zeros,
        start_distance_m=zeros,
        start_bearing_rad=zeros,
    )


@pytest.fixture
def select(monkeypatch, tmp_path):
    """Evaluate one after the other; returns the number of the one that is kept, and what was saved last."""

    def chosen(*evaluations, metric="success_rate"):
        left, saved = list(evaluations), []
        env = SimpleNamespace(num_envs=20, max_steps=500)
        monkeypatch.setattr(selection, "build_env", lambda *args, **kwargs: env)
        monkeypatch.setattr(selection, "evaluate", lambda *args: left.pop(0))
        monkeypatch.setattr(
            selection, "save_checkpoint", lambda agent, path: saved.append(len(evaluations) - len(left))
        )
        config = compose_validated([f"training.evaluations={len(evaluations)}", f"search.metric={metric}"])
        choose = Selection(config, None, tmp_path / "best.pt", len(evaluations))
        for number in range(1, len(evaluations) + 1):
            choose(SimpleNamespace(number=number, env_steps=100 * number))
        assert saved[-1] == choose.best_update
        return choose

    return chosen


def test_a_later_checkpoint_that_is_worse_by_chance_is_kept(select):
    assert select(episodes(LUCKY), episodes(WORSE)).best_update == 2  # 0.05 apart, sqrt(0.050^2 + 0.069^2) = 0.085


def test_a_later_checkpoint_that_is_worse_by_more_than_chance_is_not(select):
    assert select(episodes(LUCKY), episodes(HOPELESS)).best_update == 1  # 0.45 apart


def test_a_slow_decline_is_held_against_the_best_not_against_the_last_that_was_kept(select):
    p80 = [1.0] * 16 + [0.0] * 4  # 0.80, within a standard error (0.115) of 0.90, but not of 0.95 (0.15 > 0.105)
    assert select(episodes(LUCKY), episodes(WORSE), episodes(p80)).best_update == 2


def test_a_better_one_is_kept_and_the_first_that_succeeds_is_told(select):
    choose = select(episodes(HOPELESS), episodes(WORSE), episodes(LUCKY))
    assert (choose.best_update, choose.env_steps_to_success, choose.env_steps) == (3, 200, 3 * 20 * 500)


def test_what_was_never_observed_is_worst(select):
    never = [0.0] * 20
    assert select(episodes(LUCKY), episodes(never), metric="time_to_goal_s").best_update == 1
    assert select(episodes(never), episodes(never), metric="time_to_goal_s").best_update == 2


def test_less_is_better_of_a_metric_that_is_minimized(select):
    slow = [0.0] * 15 + [1.0] * 5  # reached after 16 to 20 s; LUCKY after 1 to 19 s
    assert select(episodes(LUCKY), episodes(slow), metric="time_to_goal_s").best_update == 1


def test_standard_errors_by_hand():
    errors = estimate_standard_errors(episodes([1.0, 1.0, 1.0, 0.0], reward=[1.0, 2.0, 3.0, 6.0]))
    assert errors["episode_reward_mean"] == pytest.approx(math.sqrt(14 / 3 / 4))  # deviations -2, -1, 0, 3
    assert errors["success_rate"] == pytest.approx(math.sqrt(0.75 * 0.25 / 3))
    assert errors["time_to_goal_s"] == pytest.approx(math.sqrt(math.pi / 2 / 3))  # 1, 2, 3 s: variance 1, of three
    assert errors["fall_rate"] == 0


def test_one_success_tells_nothing_of_its_error():
    assert estimate_standard_errors(episodes([1.0, 0.0]))["time_to_goal_s"] == 0


def test_equal_scores_without_an_error_are_equal():
    assert Score(1.0).may_equal(Score(1.0)) and not Score(0.9).may_equal(Score(1.0))
