"""Finalists, the winner among them, and what is known of it."""

from dataclasses import replace

import pytest
from studies import METRIC, retrained, screened, study

from vbot_train.analysis.summary import describe, describe_best
from vbot_train.analysis.verdict import DEFAULT, Verdict

THREE = [screened(0, 10.0, origin="default"), screened(1, 30.0), screened(2, 20.0)]  # finalists: 1, then 2
CONFIRMED = [retrained(1, 1001, 5.0), retrained(2, 1001, 18.0), retrained(1, 1002, 15.0), retrained(2, 1002, 16.0)]
TESTED = [retrained(2, 2001, 12.0), retrained(0, 2001, 11.0), retrained(2, 2002, 14.0), retrained(0, 2002, 9.0)]


def verdict(*arguments, metric=METRIC, **record):
    return Verdict(study(*arguments, **record), metric)


def numbers(found):
    return [configuration.number for configuration in found]


def test_the_finalists_are_the_best_by_what_the_search_saw():
    assert numbers(verdict(THREE).finalists) == [1, 2]


def test_the_winner_is_chosen_by_the_confirmed_mean_and_not_by_what_the_search_saw():
    assert numbers(verdict(THREE, CONFIRMED).best_first) == [2, 1, 0]  # (18 + 16) / 2 beats (5 + 15) / 2


def test_a_tested_value_changes_no_choice():
    bad = [retrained(2, 2001, -99.0), retrained(2, 2002, -99.0)]
    assert verdict(THREE, CONFIRMED, bad).winner.number == 2


def test_until_every_finalist_is_confirmed_the_order_is_that_of_the_search():
    early = verdict(THREE, CONFIRMED[:3])
    assert early.unconfirmed_reason == "3 of 4 confirming trainings have ended"
    assert numbers(early.best_first) == [1, 2, 0]


@pytest.mark.parametrize("status", ["diverged", "timeout"])
def test_a_finalist_that_breaks_on_a_seed_loses_to_one_that_does_not(status):
    broken = [retrained(1, 1001, 99.0), retrained(1, 1002, 99.0, status=status), CONFIRMED[1], CONFIRMED[3]]
    found = verdict(THREE, broken)
    assert numbers(found.best_first) == [2, 1, 0]
    assert describe(found.best_first[1], found)["confirmed"]["without_value"] == {1002: status}


def test_an_interrupted_training_has_not_ended_and_its_second_attempt_counts():
    interrupted = [*CONFIRMED[:3], retrained(2, 1002, 0.0, status="interrupted")]
    assert verdict(THREE, interrupted).unconfirmed_reason == "3 of 4 confirming trainings have ended"
    assert verdict(THREE, [*interrupted, CONFIRMED[3]]).unconfirmed_reason is None


def test_a_training_that_crashed_and_then_did_not_counts_as_completed():
    crashed = [retrained(2, 1002, 0.0, status="failed"), *CONFIRMED]
    assert verdict(THREE, crashed).confirmed[2].values(METRIC) == [18.0, 16.0]


@pytest.mark.parametrize(("ends", "is_owed_another"), [(["failed"], True), (["failed", "failed"], False)])
def test_a_training_that_crashed_has_ended_once_its_retries_are_used_up(ends, is_owed_another):
    found = verdict(THREE, [*CONFIRMED[:3], *(retrained(2, 1002, 0.0, status=status) for status in ends)])
    assert (found.unconfirmed_reason is not None) == is_owed_another
    assert found.winner.number == 1  # by the search, or because 2 is lost on a seed


@pytest.mark.parametrize(("kills", "is_owed_another"), [(1, True), (2, False)])
def test_a_training_that_is_killed_twice_has_ended_without_a_value(kills, is_owed_another):
    killed = [replace(retrained(2, 1002, 0.0, status="interrupted"), killed=True)] * kills
    found = verdict(THREE, [*CONFIRMED[:3], *killed])
    assert (found.unconfirmed_reason is not None) == is_owed_another


def test_of_equal_confirmed_values_the_order_of_the_search_stays():
    equal = [retrained(number, seed, 7.0) for number in (2, 1) for seed in (1001, 1002)]
    assert numbers(verdict(THREE, equal).best_first) == [1, 2, 0]


def test_seeds_that_a_later_command_line_gave_up_do_not_count():
    more = [*CONFIRMED, retrained(1, 5, 999.0)]
    assert verdict(THREE, more).confirmed[1].values(METRIC) == [5.0, 15.0]
    assert verdict(THREE, CONFIRMED, [*TESTED, retrained(2, 6, 999.0)]).tested[2].values(METRIC) == [12.0, 14.0]


def test_a_test_that_was_cut_short_is_none():
    found = verdict(THREE, CONFIRMED, TESTED[:3])
    assert found.untested_reason == "3 of 4 testing trainings have ended"
    assert describe_best(found)["status"] == "confirmed, not tested: 3 of 4 testing trainings have ended"


def test_the_default_is_known_by_what_it_sets_whoever_proposed_it():
    point = {"ppo.learning_rate": 1e-4 * 3, "ppo.rollouts": 24}  # of trial 2, whoever proposed that
    assert verdict(THREE[1:], default=point).default == 2
    assert verdict(THREE[1:], default={**point, "ppo.rollouts": 25}).default == DEFAULT


def test_of_a_metric_to_minimize_the_smaller_confirmed_mean_wins():
    trials = [screened(0, 0.0, fall_rate=0.1), screened(1, 0.0, fall_rate=0.2)]
    again = [retrained(number, seed, 0.0, fall_rate=0.3 - 0.1 * number) for number in (0, 1) for seed in (1001, 1002)]
    found = verdict(trials, again, metric="fall_rate")
    assert found.unconfirmed_reason == "the search confirmed what was best by episode_reward_mean"
    found = Verdict(study(trials, again, metric="fall_rate"), "fall_rate")
    assert numbers(found.best_first) == [1, 0]


@pytest.mark.parametrize(
    ("trials", "record", "unconfirmed_reason"),
    [
        ([], {}, "no trial was completed"),
        ([screened(0, 1.0, status="failed")], {}, "no trial was completed"),
        ([screened(0, 1.0)], {}, "one configuration: there was nothing to choose"),
        (THREE, {"confirm": None}, "search.confirm=none"),
        (THREE, {}, "0 of 4 confirming trainings have ended"),
    ],
)
def test_an_unconfirmed_winner_says_why(trials, record, unconfirmed_reason):
    assert verdict(trials, **record).unconfirmed_reason == unconfirmed_reason


def test_trials_on_several_seeds_are_one_configuration_named_by_its_first_trial():
    twice = [screened(3, 1.0, rate=1e-3), screened(5, 3.0, rate=1e-3, seed=43), screened(4, 1.5)]
    (first, second) = verdict(twice).screened
    assert (first.number, first.seeds, first.mean(METRIC)) == (3, [42, 43], 2.0)
    assert second.number == 4


def test_the_default_is_the_trial_that_tried_it_or_none_of_them():
    assert verdict(THREE).default == 0
    assert verdict(THREE[1:]).default == DEFAULT


def test_the_answer_holds_what_was_tested_of_winner_and_default():
    best = describe_best(verdict(THREE, CONFIRMED, TESTED))
    assert (best["config_id"], best["status"], best["default"]) == ("config_002", "tested", "config_000")
    assert best["tested"]["seeds"] == [2001, 2002]
    assert best["tested"][METRIC] == {"iqm": 13.0, "ci_95": [12.0, 14.0]}  # two seeds: all resamples lie between them
    assert best["default_tested"][METRIC]["iqm"] == 10.0
    assert best["tested"]["success_rate"]["iqm"] == 0.5


def test_without_confirmation_the_answer_says_unconfirmed():
    best = describe_best(verdict(THREE, confirm=None))
    assert (best["config_id"], best["status"]) == ("config_001", "unconfirmed: search.confirm=none")
    assert best["tested"] is None and best["default_tested"] is None
