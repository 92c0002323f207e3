"""What is said of one side against another, worked out by hand."""

from dataclasses import replace
from pathlib import Path

import pytest

from vbot_train.compare.comparison import (
    ABSENT,
    ComparedRun,
    Comparison,
    choose_metric,
    estimate,
    estimate_difference,
    find_differing,
)
from vbot_train.study.errors import StudyError
from vbot_train.study.record import StudyRecord
from vbot_train.study.trials import Study
from vbot_train.training.result import TrialResult
from vbot_train.training.seed_statistics import compute_wilson_interval

REWARD = "episode_reward_mean"


def side(values, *, name="a", stage=None, settings=None, evaluation_seed=7, optimized=None):
    """Runs by training seed, each with its reward; a rate of a half."""
    runs = {
        seed: TrialResult("completed", None, seed, metrics={REWARD: value, "success_rate": 0.5})
        for seed, value in values.items()
    }
    seeds = {"seed": sorted(runs), "evaluation.seed": evaluation_seed}
    study = None if optimized is None else Study(Path(name), StudyRecord(name, optimized), [], {})
    return ComparedRun(Path(name), "run", stage, settings or {}, seeds, runs, episodes=10, curves=[], study=study)


def test_settings_differ_where_any_value_is_another_or_absent():
    rows = find_differing([{"a": 1, "b": [1, 2], "c": 0.1}, {"a": 1, "b": [1, 3]}])
    assert rows == {"b": [[1, 2], [1, 3]], "c": [0.1, ABSENT]}


def test_several_seeds_give_their_interquartile_mean_and_an_interval_over_seeds():
    found = estimate(side({1: 100.0, 2: 1.0, 3: 2.0, 4: -50.0}), REWARD)
    assert (found.value, found.over, found.runs) == (1.5, "training seeds", 4)
    assert found.interval_95[0] < 1.5 < found.interval_95[1]


def test_equal_seeds_leave_no_width():
    assert estimate(side({1: 2.0, 2: 2.0, 3: 2.0}), REWARD).interval_95 == (2.0, 2.0)


def test_one_seed_has_an_interval_of_its_rates_alone_over_its_episodes():
    one = side({1: 2.0})
    assert estimate(one, REWARD).interval_95 is None
    found = estimate(one, "success_rate")
    assert (found.value, found.over) == (0.5, "episodes")
    # Wilson, p = 1/2, n = 10: (p + z^2/2n -+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n), z = 1.96
    assert found.interval_95 == pytest.approx((0.2366, 0.7634), abs=1e-4)


def test_a_rate_of_nought_still_has_a_chance():
    low, high = compute_wilson_interval(0, 10)
    assert low == 0 and high == pytest.approx(0.2775, abs=1e-4)  # z^2 / (n + z^2)


def test_a_metric_that_no_run_has_is_none():
    found = estimate(side({1: None, 2: None}), REWARD)
    assert (found.value, found.interval_95, found.runs) == (None, None, 0)


def test_the_same_seeds_are_paired():
    ours, theirs = side({1: 11.0, 2: 21.0, 3: 31.0}), side({3: 30.0, 1: 10.0, 2: 20.0})
    found = estimate_difference(ours, theirs, REWARD)
    assert (found.value, found.interval_95) == (1.0, (1.0, 1.0))  # 1 on every seed, however much these differ
    assert found.how == "paired by seed: 1, 2, 3"
    assert found.probability_of_improvement == pytest.approx(6 / 9)  # 11 > 10; 21 > 10, 20; 31 > all


def test_other_seeds_are_not_paired():
    found = estimate_difference(side({1: 3.0, 2: 3.0}), side({2: 1.0, 3: 1.0, 4: 1.0}), REWARD)
    assert (found.value, found.interval_95, found.probability_of_improvement) == (2.0, (2.0, 2.0), 1.0)
    assert found.how == "2 against 3 seeds, not paired"


def test_where_less_is_better_less_is_the_improvement():
    metric = "time_to_goal_s"
    fast, slow = (
        ComparedRun(
            Path(),
            "run",
            None,
            {},
            {},
            {s: TrialResult("completed", None, s, metrics={metric: t}) for s in (1, 2)},
            1,
            [],
        )
        for t in (3.0, 4.0)
    )
    found = estimate_difference(fast, slow, metric)
    assert (found.value, found.probability_of_improvement) == (-1.0, 1.0)


def test_one_seed_each_says_nothing_of_the_probability_of_improvement():
    found = estimate_difference(side({1: 3.0}), side({1: 1.0}), REWARD)
    assert (found.value, found.interval_95, found.probability_of_improvement) == (2.0, None, None)
    assert "one seed each" in found.how


def test_nothing_is_said_of_the_seeds_that_survived():
    found = estimate_difference(
        side({1: 3.0, 2: 3.0}), replace(side({1: 9.0, 2: 9.0}, name="b"), failed_seeds={3: "diverged"}), REWARD
    )
    assert (found.value, found.interval_95, found.probability_of_improvement) == (None, None, None)
    assert found.how == f"1 of 3 runs of b have no {REWARD}"


def test_one_seed_against_several_has_no_interval_and_no_probability():
    found = estimate_difference(side({1: 3.0}), side({1: 1.0, 2: 4.0}), REWARD)
    assert (found.value, found.interval_95, found.probability_of_improvement) == (0.5, None, None)


def test_what_one_run_never_did_is_not_compared():
    found = estimate_difference(side({1: 3.0, 2: 3.0}), side({1: None, 2: 1.0}, name="b"), REWARD)
    assert (found.value, found.probability_of_improvement) == (None, None)
    assert found.how == f"1 of 2 runs of b have no {REWARD}"


def test_runs_are_the_same_if_all_their_metrics_are():
    assert Comparison([side({1: 2.0, 2: 3.0}), side({2: 3.0, 1: 2.0})], REWARD).is_same
    assert not Comparison([side({1: 2.0}), side({1: 2.0}), side({1: 2.1})], REWARD).is_same
    assert not Comparison([side({1: 2.0}), side({1: 2.0, 2: 2.0})], REWARD).is_same


@pytest.mark.parametrize(
    ("optimized", "asked", "metric"),
    [
        ((None, None), None, REWARD),
        (("fall_rate", None), None, "fall_rate"),
        (("fall_rate", "fall_rate"), None, "fall_rate"),
        (("fall_rate", REWARD), "success_rate", "success_rate"),
    ],
)
def test_what_was_optimized_is_compared_unless_something_else_is_asked_for(optimized, asked, metric):
    sides = [side({1: 1.0}, name=str(i), optimized=name) for i, name in enumerate(optimized)]
    assert choose_metric(sides, asked) == metric


def test_different_metrics_are_not_compared_by_themselves():
    sides = [side({1: 1.0}, name=name, optimized=name) for name in ("fall_rate", "success_rate")]
    with pytest.raises(StudyError, match=r"mixed metrics: fall_rate optimized fall_rate, .* choose one with --metric"):
        choose_metric(sides, None)


def test_different_rewards_are_compared_by_success():
    sides = [side({1: 1.0}, settings={"reward.approach.weight": weight}) for weight in (1.0, 2.0)]
    assert choose_metric(sides, None) == "success_rate"
    assert Comparison(sides, "success_rate").warnings == []
    (warning,) = Comparison(sides, REWARD).warnings
    assert warning.startswith("the rewards differ")


def test_what_makes_the_sides_hard_to_compare_is_warned_of():
    ours = side({1: 1.0}, stage="tested", settings={"env.goal_radius_m": 0.5, "ppo.rollouts": 24})
    theirs = side(
        {1: 1.0}, stage="confirmed", settings={"env.goal_radius_m": 1.0, "ppo.rollouts": 48}, evaluation_seed=8
    )
    task, starts, stages = Comparison([ours, theirs], REWARD).warnings
    assert task == "the tasks differ in env.goal_radius_m"
    assert starts == "the held-out starts differ (evaluation.seed)"
    assert "different stages (confirmed, tested)" in stages
