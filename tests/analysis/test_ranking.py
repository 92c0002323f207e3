"""The one rule for a training seed that is lost: its configuration is worse than every one that lost none."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from studies import METRIC, screened, study

from vbot_train.analysis.ranking import describe_seeds, rank_configurations
from vbot_train.analysis.summary import describe, list_replicates
from vbot_train.analysis.verdict import Verdict

FAILED = {"status": "failed", "seed": 43, "rate": 1e-3}  # of the configuration of trial 0, on its second seed


def numbers(trials, metric=METRIC, retries=0):
    found = study(trials, config={"search": {"retries": retries}})
    return [(configuration.number, configuration.failed_seeds) for configuration in rank_configurations(found, metric)]


def again(trial, of):
    return replace(trial, retry_of=of)


def killed(trial):
    return replace(trial, killed=True)


WHOLE = screened(8, 1.0)
BEST = screened(0, 50.0, rate=1e-3)


@pytest.mark.parametrize("status", ["diverged", "timeout", "failed", "pruned"])
def test_a_configuration_that_lost_a_seed_comes_after_every_whole_one(status):
    lost = screened(1, 99.0, rate=1e-3, seed=43, status=status)
    assert numbers([BEST, lost, WHOLE]) == [(8, {}), (0, {43: status})]


def test_among_those_that_lost_seeds_the_fewest_lost_and_then_the_mean_of_the_others_decide():
    trials = [
        screened(n, value, rate=rate, seed=n) for n, value, rate in ((0, 9.0, 1e-3), (1, 5.0, 2e-3), (2, 7.0, 3e-3))
    ]
    losses = [(3, 1e-3), (4, 1e-3), (5, 2e-3), (6, 3e-3)]
    trials += [screened(n, 0.0, rate=rate, seed=n, status="diverged") for n, rate in losses]
    assert [number for number, _ in numbers(trials)] == [2, 1, 0]


def test_of_configurations_with_the_same_value_the_one_that_is_at_the_goal_first_is_better():
    slow, fast = screened(0, 1.0, rate=1e-3, time_to_goal_s=4.0), screened(1, 1.0, rate=2e-3, time_to_goal_s=3.0)
    both = [screened(2, 0.9, rate=3e-3, time_to_goal_s=1.0), slow, fast]
    assert [number for number, _ in numbers(both)] == [1, 0, 2]


def test_of_a_metric_to_minimize_too():
    trials = [screened(0, 1.0, rate=1e-3, fall_rate=0.0), screened(1, 1.0, rate=1e-3, seed=43, status="timeout")]
    trials += [screened(2, 1.0, fall_rate=0.9)]
    assert numbers(trials, "fall_rate") == [(2, {}), (0, {43: "timeout"})]


def test_a_completed_seed_without_a_value_of_the_metric_is_lost():
    trials = [
        screened(0, 1.0, rate=1e-3, time_to_goal_s=1.0),
        screened(1, 1.0, rate=1e-3, seed=43, time_to_goal_s=None),
    ]
    assert numbers([*trials, screened(2, 1.0, time_to_goal_s=9.0)], "time_to_goal_s")[1] == (0, {43: "completed"})


def test_a_failed_attempt_whose_retry_completed_is_no_lost_seed():
    trials = [BEST, screened(1, 0.0, **FAILED), again(screened(2, 40.0, rate=1e-3, seed=43), of=1), WHOLE]
    assert numbers(trials, retries=1) == [(0, {}), (8, {})]
    assert rank_configurations(study(trials), METRIC)[0].seeds == [42, 43]


@pytest.mark.parametrize(("retries", "lost"), [(0, {43: "failed"}), (1, {43: "failed"}), (2, {})])
def test_a_seed_that_crashed_is_lost_once_its_retries_are_used_up(retries, lost):
    trials = [BEST, screened(1, 0.0, **FAILED), again(screened(2, 0.0, **FAILED), of=1)]
    assert numbers(trials, retries=retries) == [(0, lost)]


def test_a_seed_that_was_killed_is_lost_when_it_is_given_up():
    once = killed(screened(1, 0.0, **FAILED | {"status": "interrupted"}))
    assert numbers([BEST, once]) == [(0, {})]
    assert numbers([BEST, once, again(replace(once, number=2), of=1)]) == [(0, {43: "interrupted"})]


def test_a_trial_on_several_seeds_of_which_one_diverged_ranks_last_by_the_others():
    ended = screened(0, 0.0, rate=1e-3, status="diverged")
    runs = {
        Path("seed_42"): screened(0, 50.0, seed=42).result,
        Path("seed_43"): screened(0, 0.0, seed=43, status="diverged").result,
    }
    found = rank_configurations(study([replace(ended, seed_runs=runs), WHOLE]), METRIC)
    assert [(one.number, one.mean(METRIC), one.failed_seeds) for one in found] == [
        (8, 1.0, {}),
        (0, 50.0, {43: "diverged"}),
    ]


def test_a_configuration_that_lost_all_its_seeds_is_not_ranked():
    assert numbers([screened(0, 9.0, status="diverged"), WHOLE]) == [(8, {})]


def test_trials_on_the_same_seed_are_replicates_too():
    (found,) = rank_configurations(study([screened(0, 1.0, rate=1e-3), screened(1, 2.0, rate=1e-3)]), METRIC)
    assert found.mean(METRIC) == 1.5


def test_tables_and_the_analysis_file_say_two_of_three_seeds():
    lost = screened(2, 0.0, rate=1e-3, seed=44, status="diverged")
    verdict = Verdict(study([BEST, screened(1, 30.0, rate=1e-3, seed=43), lost], confirm=None), METRIC)
    (found,) = verdict.screened
    assert describe_seeds(found.runs, METRIC) == "2 of 3 seeds" and found.mean(METRIC) == 40.0
    for row in (describe(found, verdict), *list_replicates([found], METRIC)):
        assert (row["seeds"], row["without_value"]) == ([42, 43, 44], {44: "diverged"})
        assert yaml.safe_load(yaml.safe_dump(row)) == row
