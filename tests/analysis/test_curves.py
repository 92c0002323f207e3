"""Learning curves, and what a search had found by when."""

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from vbot_train.analysis.curves import (
    BestSoFar,
    Curve,
    CurveError,
    find_common_env_steps,
    mean_curve,
    read_curve,
    trace_best_so_far,
)
from vbot_train.study.lives import Life
from vbot_train.study.record import StudyRecord
from vbot_train.study.trials import Study, Trial
from vbot_train.training.result import TrialResult

RECORD = StudyRecord("s", "episode_reward_mean")


def curve(env_steps, success_rate, reward):
    return Curve(*(np.array(values, dtype=float) for values in (env_steps, success_rate, reward)))


def trial(number, value, env_steps, status="completed"):
    metrics = {"episode_reward_mean": value, "fall_rate": value}
    result = TrialResult(status=status, trial=number, seed=42, metrics=metrics, env_steps=env_steps)
    return Trial(number, {}, {}, result, Path(), {})


def test_between_two_updates_a_curve_is_straight_and_outside_of_the_training_it_is_not_known():
    there = curve([100, 200], [0.0, 0.5], [math.nan, 3.0]).at(np.array([50.0, 150.0, 200.0, 201.0]))
    np.testing.assert_allclose(there.success_rate, [math.nan, 0.25, 0.5, math.nan])
    np.testing.assert_allclose(there.reward, [math.nan, math.nan, 3.0, math.nan])  # no episode had ended at 100


def test_the_mean_of_two_seeds_is_halfway_between_them():
    seeds = [curve([100, 200], [0.0, 0.4], [1.0, 2.0]), curve([50, 200], [0.2, 0.8], [3.0, 4.0])]
    mean = mean_curve(seeds, np.array([200.0]))
    assert (mean.success_rate[0], mean.reward[0]) == (pytest.approx(0.6), 3.0)


def test_curves_of_unequal_lengths_are_compared_up_to_the_shortest():
    assert find_common_env_steps([1000.0, 400.0]) == [100, 200, 300, 400]


def test_the_best_value_only_climbs_and_failed_trials_cost_their_env_steps():
    trials = [trial(0, 9.0, 50, "diverged"), trial(1, 1.0, 100), trial(2, 3.0, 100), trial(3, 2.0, 100)]
    found = trace_best_so_far(Study(Path(), RECORD, trials, {}), "episode_reward_mean")
    assert found == BestSoFar([50, 150, 250, 350], [None, 1.0, 3.0, 3.0])
    assert [found.at(env_steps) for env_steps in (49, 50, 150, 249, 1000)] == [None, None, 1.0, 1.0, 3.0]


def test_a_trial_that_was_paused_has_its_value_after_what_the_others_spent_meanwhile():
    start = datetime(2026, 1, 1, tzinfo=UTC)

    def lived(number, value, *lives, status="completed"):
        periods = tuple(Life(start, start + timedelta(minutes=minute), steps) for minute, steps in lives)
        whole = trial(number, value, sum(steps for _, steps in lives), status)
        return replace(whole, lives=periods, ended=None if status == "paused" else periods[-1].end)

    first, second = lived(0, 9.0, (1, 50), (5, 50)), lived(1, 1.0, (2, 50), (3, 50))
    waiting = lived(2, None, (4, 50), status="paused")
    study = Study(Path(), RECORD, [first, second], {}, paused=[waiting])
    found = trace_best_so_far(study, "episode_reward_mean")
    assert [found.at(env_steps) for env_steps in (100, 149, 150, 200, 249, 250)] == [None, None, 1.0, 1.0, 1.0, 9.0]


def test_where_less_is_better_the_best_value_falls():
    trials = [trial(0, 0.5, 100), trial(1, 0.2, 100), trial(2, 0.3, 100)]
    assert trace_best_so_far(Study(Path(), RECORD, trials, {}), "fall_rate").best == [0.5, 0.2, 0.2]


def test_a_curve_is_read_by_its_columns_and_may_begin_without_an_episode(tmp_path):
    path = tmp_path / "progress.csv"
    path.write_text("number,env_steps,reward,success_rate\n1,100,nan,nan\n2,200,2.5,0.5\n", encoding="utf-8")
    found = read_curve(path)
    np.testing.assert_array_equal(found.env_steps, [100, 200])
    np.testing.assert_array_equal(found.reward, [math.nan, 2.5])


def test_a_last_row_that_was_cut_short_is_left_out(tmp_path):
    path = tmp_path / "progress.csv"
    path.write_text("env_steps,reward,success_rate\n1000,1.0,0.5\n2000,2.0,0.5\n30", encoding="utf-8")
    np.testing.assert_array_equal(read_curve(path).env_steps, [1000, 2000])


@pytest.mark.parametrize("content", [None, "", "env_steps,success_rate,reward\n"])
def test_a_curve_that_is_not_there_is_none(tmp_path, content):
    if content is not None:
        (tmp_path / "progress.csv").write_text(content, encoding="utf-8")
    assert read_curve(tmp_path / "progress.csv") is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("env_steps,success_rate\n100,0.5\n", "no column 'reward'"),
        ("env_steps,success_rate,reward\n100,0.5,many\n", "could not convert string to float: 'many'"),
        ("env_steps,success_rate,reward\n100,0.5\n", "float"),  # the file was cut short
        ("env_steps,success_rate,reward\n200,0,0\n100,0,0\n", "its env_steps do not rise"),
        ("env_steps,success_rate,reward\nnan,0,0\n", "its env_steps do not rise"),
    ],
)
def test_a_curve_that_holds_something_else_is_refused_by_name(tmp_path, content, message):
    path = tmp_path / "progress.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(CurveError, match=message) as error:
        read_curve(path)
    assert str(path) in str(error.value) and len(str(error.value).splitlines()) == 1
