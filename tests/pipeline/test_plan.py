"""How the hours of a chain are divided."""

from dataclasses import replace

import pytest

from vbot_train.config.composition import ConfigError
from vbot_train.pipeline.plan import COMMAND_S, MARGIN, SURE, Need, describe_plan, divide, refuse_too_little
from vbot_train.pipeline.schema import Compare, Search, Train
from vbot_train.pipeline.steps import Step
from vbot_train.study import plan as stages
from vbot_train.study.plan import Confirm, Plan

TRAINING_S = 100.0
CONFIRM = Plan(Confirm(top_k=2, seeds=[1001, 1002]), None)  # 4 trainings


def search(number, share, generation=None, trials=8):
    stage = Search(kind="search", search="full", trials=trials, share=share, length=1, generations=3)
    return Need(Step(number, "reward", stage, generation), TRAINING_S, workers=2, trials=trials, stages=CONFIRM)


def train(number):
    return Need(Step(number, "final", Train(kind="train")), TRAINING_S, workers=1)


def test_a_search_takes_rounds_of_its_workers_and_confirms():
    assert search(1, 1).compute_s(8) == COMMAND_S + MARGIN * 6 * TRAINING_S  # 8 + 4 trainings, two at a time
    assert search(1, 1).compute_s(1) == COMMAND_S + MARGIN * 1 * TRAINING_S  # one configuration: nothing to confirm


def test_as_many_trials_fit_as_there_is_time_for_with_what_confirms_them():
    need = search(1, 1)
    assert need.count_fitting(need.compute_s(8)) == 8
    assert need.count_fitting(COMMAND_S + MARGIN * 4 * TRAINING_S) == 4  # 4 + 4 trainings
    assert need.count_fitting(1.0) == 0


def test_a_comparison_tests_on_more_seeds_where_there_is_time_for_them():
    stage = Compare(kind="compare", share=1)
    plan = Plan(Confirm(top_k=3, seeds=[1, 2, 3]), stages.Test(seeds=[2001, 2002], evaluation_seed=7))
    need = Need(Step(1, "compare", stage), TRAINING_S, workers=2, trials=2, stages=plan)
    # 1 round for the two, 3 to confirm them, 1 for each test seed of both; a tenth of the time is left
    for_five_s = (COMMAND_S + MARGIN * 9 * TRAINING_S) / SURE
    assert need.count_test_seeds(for_five_s + 1, most=12) == 5
    assert need.count_test_seeds(for_five_s - 1, most=12) == 4
    assert need.count_test_seeds(1e6, most=12) == 12
    assert need.count_test_seeds(1.0, most=12) == 2  # those of its line
    assert replace(need, stages=CONFIRM).count_test_seeds(1e6, most=12) is None


def test_a_comparison_needs_time_for_the_default_and_one_candidate_at_least():
    need = Need(Step(1, "compare", Compare(kind="compare", share=1)), TRAINING_S, workers=2, trials=5, stages=CONFIRM)
    assert need.least_s == need.compute_s(2) == COMMAND_S + MARGIN * 3 * TRAINING_S


def test_trainings_get_what_they_need_and_searches_the_rest_by_their_shares():
    needs = [search(1, 3), search(2, 1), train(3)]
    divided = divide(needs, 2000.0)
    assert divided["3-final"] == train(3).compute_s(1) == COMMAND_S + MARGIN * TRAINING_S
    least_s = COMMAND_S + MARGIN * 3 * TRAINING_S  # 2 + 4 trainings
    rest_s = 2000.0 - 2 * least_s - divided["3-final"]
    assert divided["1-reward"] == pytest.approx(least_s + rest_s * 3 / 4)
    assert divided["2-reward"] == pytest.approx(least_s + rest_s / 4)
    assert sum(divided.values()) == pytest.approx(2000.0)


def test_where_there_is_too_little_all_searches_get_less_and_trainings_what_they_need():
    needs = [search(1, 3), search(2, 1), train(3)]
    divided = divide(needs, 460.0)  # the training takes 120 s, each search 340 s at least
    assert divided == {
        "1-reward": pytest.approx(170.0),
        "2-reward": pytest.approx(170.0),
        "3-final": pytest.approx(120.0),
    }
    assert divide(needs, 100.0)["1-reward"] == 0.0


def test_the_plan_says_what_will_not_fit():
    (line,) = describe_plan([search(1, 1)], {"1-reward": COMMAND_S + MARGIN * 4 * TRAINING_S})
    assert line.endswith("4 of 8 trials fit")


def test_a_budget_below_the_least_of_every_step_is_refused_with_what_it_takes():
    needs = [search(1, 1), train(2)]  # 340 + 120 s
    refuse_too_little(needs, 460.0, 0.2)
    with pytest.raises(ConfigError, match=r"budget_hours=0.1: too little .* takes 0.15 h"):  # (460 - 300 + 360) s
        refuse_too_little(needs, 300.0, 0.1)


def test_generations_that_do_not_fit_are_refused_with_how_many_do():
    needs = [search(number, 1, generation=number) for number in (1, 2, 3)]  # 340 s each
    with pytest.raises(ConfigError, match=r"reward_generations=3: budget_hours=0.25 holds 2;"):
        refuse_too_little(needs, 900.0, 0.25)
