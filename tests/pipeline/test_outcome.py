"""Whether a chain's winner is better than the default it started from."""

from dataclasses import replace

import pytest
from studies import retrained, screened, study

from vbot_train.analysis.verdict import Verdict
from vbot_train.pipeline.outcome import (
    describe_best,
    describe_default,
    describe_values,
    find_outcome,
    has_reached_goal,
)

SUCCESS = "success_rate"
PLAN = {"confirm": {"top_k": 2, "seeds": [1001]}, "test": {"seeds": [2001, 2002], "evaluation_seed": 7}}


def recipe(number, name, success):
    return replace(screened(number, 0.0, success_rate=success), params={"experiment": name})


def compared(*given, **changes):
    return find_outcome(judge(*given, **changes), "default")


def judge(hp=1.0, *, default=0.5, tested=((1.0, 3.0), (0.9, 4.0))):
    """Recipes ``default`` (trial 0) and ``hp`` (trial 1); tested: success and time of hp, of the default."""
    trials = [recipe(0, "default", default), recipe(1, "hp", hp)]
    confirming = [retrained(n, 1001, 0.0, success_rate=value) for n, value in ((0, default), (1, hp))]
    testing = [
        retrained(n, seed, 0.0, success_rate=success, time_to_goal_s=time_s + (seed - 2001) / 10)
        for n, (success, time_s) in ((1, tested[0]), (0, tested[1]))
        for seed in (2001, 2002)
    ]
    found = study(trials, confirming, testing, metric=SUCCESS, default={"experiment": "default"}, **PLAN)
    return Verdict(found, SUCCESS)


def test_a_winner_that_is_at_the_goal_sooner_on_every_test_seed_is_better():
    outcome = compared()
    time = next(each for each in outcome.differences if each.metric == "time_to_goal_s")
    assert (time.value, time.interval_95, time.is_better) == (-1.0, (-1.0, -1.0), True)
    assert outcome.sentence == "The winner (hp) is better than the default: success_rate by 0.1, time_to_goal_s by 1."


def test_a_winner_that_is_no_faster_is_said_not_to_be_better():
    outcome = compared(tested=((0.9, 4.0), (0.9, 4.0)))
    what = "The winner (hp) is not better than the default beyond the intervals of the test: the default stays."
    assert outcome.sentence == what and not outcome.takes_over


def test_a_faster_winner_that_succeeds_less_often_is_no_better_choice():
    worse, as_good = compared(tested=((0.8, 3.0), (0.9, 4.0))), compared(tested=((0.88, 3.0), (0.9, 4.0)))
    assert "succeeds less often than the default: the default stays" in worse.sentence and not worse.takes_over
    assert "is better than the default" in as_good.sentence and as_good.takes_over  # worse by 0.02


def test_a_winner_whose_training_failed_on_a_test_seed_is_no_better_choice():
    trials = [recipe(0, "default", 0.5), recipe(1, "hp", 1.0)]
    confirming = [retrained(n, 1001, 0.0, success_rate=value) for n, value in ((0, 0.5), (1, 1.0))]
    good = [retrained(n, seed, 0.0, success_rate=0.9) for n in (0, 1) for seed in (2001, 2002)]
    lost = replace(good[-1], result=replace(good[-1].result, status="diverged", metrics={}))
    found = study(trials, confirming, [*good[:-1], lost], metric=SUCCESS, default={"experiment": "default"}, **PLAN)
    outcome = find_outcome(Verdict(found, SUCCESS), "default")
    assert "fails on 1 of 2 training seeds, the default on 0: the default stays" in outcome.sentence
    assert not outcome.takes_over
    assert all(each.value is None and not each.is_better for each in outcome.differences)


def test_an_interval_over_few_seeds_is_said_to_be_their_range():
    assert compared().cautions == [
        "in brackets: the 95 % bootstrap interval over training seeds; of 2 values it is their range, which contains"
        " the true median in 50% of cases"
    ]


def test_a_winner_that_may_succeed_less_often_is_said_to():
    trials = [recipe(0, "default", 0.5), recipe(1, "hp", 1.0)]
    confirming = [retrained(n, 1001, 0.0, success_rate=value) for n, value in ((0, 0.5), (1, 1.0))]
    values = {(0, 2001): 0.9, (0, 2002): 0.9, (1, 2001): 0.85, (1, 2002): 0.95}  # -0.05 and +0.05
    testing = [retrained(n, seed, 0.0, success_rate=value) for (n, seed), value in values.items()]
    found = study(trials, confirming, testing, metric=SUCCESS, default={"experiment": "default"}, **PLAN)
    outcome = find_outcome(Verdict(found, SUCCESS), "default")
    assert "may succeed less often than the default, by up to 0.05: the default stays" in outcome.sentence
    assert not outcome.takes_over


def test_the_values_of_a_default_that_stays_are_those_of_its_test():
    kept = describe_default(judge(), "5-compare")
    assert (kept["trial"], kept["how"], kept["seeds"], kept[SUCCESS]["iqm"]) == (0, "tested", 2, 0.9)


def test_where_the_default_wins_it_stays():
    outcome = compared(hp=0.4)
    assert outcome.is_default and outcome.sentence.endswith("it stays.")


def test_without_all_tests_the_reason_is_said():
    trials = [recipe(0, "default", 0.5), recipe(1, "hp", 1.0)]
    confirming = [retrained(n, 1001, 0.0, success_rate=value) for n, value in ((0, 0.5), (1, 1.0))]
    found = study(trials, confirming, metric=SUCCESS, default={"experiment": "default"}, **PLAN)
    outcome = find_outcome(Verdict(found, SUCCESS), "default")
    assert "0 of 4 testing trainings have ended" in outcome.sentence and outcome.takes_over  # confirmed, at least


def test_values_have_a_mean_and_an_interval_over_seeds_and_none_where_there_is_no_value():
    runs = [screened(n, 0.0, success_rate=value, time_to_goal_s=None).result for n, value in enumerate((0.8, 1.0))]
    found = describe_values(runs, (SUCCESS, "time_to_goal_s"))
    assert found == {SUCCESS: {"iqm": pytest.approx(0.9), "ci_95": [0.8, 1.0]}}


def test_the_best_so_far_says_how_far_it_is_trusted():
    found = study([screened(0, 1.0), screened(1, 2.0)], metric="episode_reward_mean")
    best = describe_best(Verdict(found, "episode_reward_mean"), "1-hp")
    assert (best["stage"], best["trial"], best["how"], best["seeds"]) == ("1-hp", 1, "seen by the search", 1)
    assert describe_best(Verdict(study([]), "episode_reward_mean"), "1-hp") is None


@pytest.mark.parametrize(("seen", "confirmed", "reached"), [(0.0, 0.0, False), (0.0, 0.1, True), (0.1, 0.0, True)])
def test_a_best_that_never_reached_the_goal_is_told_by_all_its_runs(seen, confirmed, reached):
    trials = [screened(n, 5.0 - n, success_rate=seen) for n in (0, 1)]
    confirming = [retrained(n, 1001, 5.0 - n, success_rate=confirmed) for n in (0, 1)]
    found = study(trials, confirming, metric="episode_reward_mean", **PLAN)
    assert has_reached_goal(Verdict(found, "episode_reward_mean")) is reached
