"""What is planned after a search: settings, seeds, trainings."""

from dataclasses import replace

import pytest
from studies import retrained, screened, study

from vbot_train.analysis.verdict import DEFAULT, TRIAL, Verdict
from vbot_train.config.composition import ConfigError, compose_config
from vbot_train.config.schema import Evaluation, Search
from vbot_train.search.stage_space import StageSpace, list_trainings
from vbot_train.search.stages import check_disjoint, plan_stages
from vbot_train.study import plan
from vbot_train.study.plan import NO_STAGES, Confirm, Plan
from vbot_train.study.trials import LeftOut

SETTINGS = compose_config()["search"] | {
    "confirm": {"top_k": 5, "seeds": 3},
    "test": {"seeds": 3, "evaluation_seed": 7},
}
PLAN = Plan(Confirm(top_k=2, seeds=[1001, 1002]), plan.Test(seeds=[2001], evaluation_seed=7))
EVALUATION = Evaluation(selection_seed=11, seed=12)
TRIALS = [screened(0, 10.0), screened(1, 30.0), screened(2, 20.0)]


def pairs(points):
    return [(point.params[TRIAL], point.seed) for point in points]


def test_a_number_of_seeds_stands_for_the_stages_own_first_seeds():
    found = plan_stages(Search.model_validate(SETTINGS))
    assert found.confirm == Confirm(top_k=5, seeds=[1001, 1002, 1003])
    assert found.test == plan.Test(seeds=[2001, 2002, 2003], evaluation_seed=7)
    assert found.trainings == 5 * 3 + 2 * 3


@pytest.mark.parametrize("confirm", [None, "none", {"top_k": 0, "seeds": 3}])
def test_without_confirming_nothing_is_tested_either(confirm):
    assert plan_stages(Search.model_validate(SETTINGS | {"confirm": confirm})) == NO_STAGES


@pytest.mark.parametrize("test", [None, "none"])
def test_a_test_can_be_left_out_alone(test):
    found = plan_stages(Search.model_validate(SETTINGS | {"test": test}))
    assert found.test is None and found.trainings == 15


@pytest.mark.parametrize(("configurations", "trainings"), [(1, 0), (2, 2 * 2 + 2), (99, 2 * 2 + 2)])
def test_no_more_is_planned_than_there_are_configurations(configurations, trainings):
    assert PLAN.limit_to(configurations).trainings == trainings
    assert replace(PLAN, confirm=Confirm(top_k=3, seeds=[1001, 1002])).limit_to(2).confirm.top_k == 2


def test_seeds_of_ones_own_are_taken_as_they_are():
    own = Search.model_validate(SETTINGS | {"confirm": {"top_k": 1, "seeds": [5, 3]}})
    assert plan_stages(own).seeds == [5, 3, 2001, 2002, 2003]


@pytest.mark.parametrize(
    ("plan", "screened", "message"),
    [
        (PLAN, [42, 1002], "search.confirm.seeds: 1002 is a seed of the search too"),
        (PLAN, [2001], "search.test.seeds: 2001 is a seed of the search too"),
        (
            Plan(PLAN.confirm, plan.Test(seeds=[1001], evaluation_seed=7)),
            [],
            "1001 is a seed of search.confirm.seeds too",
        ),
        (Plan(Confirm(top_k=1, seeds=[11]), None), [], "11 is a seed of evaluation.selection_seed too"),
        (Plan(PLAN.confirm, plan.Test(seeds=[2001], evaluation_seed=12)), [], "12 is a seed of evaluation.seed too"),
        (
            Plan(PLAN.confirm, plan.Test(seeds=[2001], evaluation_seed=42)),
            [42],
            "evaluation_seed: 42 is a seed of the se",
        ),
    ],
)
def test_seeds_that_are_used_twice_are_refused(plan, screened, message):
    with pytest.raises(ConfigError, match=message):
        check_disjoint(plan, screened, EVALUATION)


def test_disjoint_seeds_are_accepted():
    check_disjoint(PLAN, range(42, 142), EVALUATION)


def test_the_seeds_of_a_search_are_not_listed():
    check_disjoint(PLAN, range(10_000, 10**15), EVALUATION)
    with pytest.raises(ConfigError, match=r"search\.confirm\.seeds: 1001 is a seed of the search too"):
        check_disjoint(PLAN, range(10**15), EVALUATION)


def test_the_finalists_are_confirmed_seed_by_seed():
    confirm = list_trainings("confirm", Verdict(study(TRIALS), "episode_reward_mean"), PLAN)
    assert pairs(confirm) == [(1, 1001), (2, 1001), (1, 1002), (2, 1002)]


def test_nothing_is_tested_before_all_finalists_are_confirmed():
    verdict = Verdict(study(TRIALS, [retrained(1, 1001, 5.0)]), "episode_reward_mean")
    assert list_trainings("test", verdict, PLAN) == []


def test_the_confirmed_winner_is_tested_beside_the_default():
    confirm = [retrained(n, seed, 10.0 * n) for n in (1, 2) for seed in (1001, 1002)]
    verdict = Verdict(study(TRIALS, confirm), "episode_reward_mean")
    assert pairs(list_trainings("test", verdict, PLAN)) == [(2, 2001), (DEFAULT, 2001)]


def test_a_default_that_wins_is_tested_once():
    trials = [screened(0, 10.0), screened(1, 30.0), screened(2, 20.0, origin="default")]
    confirm = [retrained(n, seed, 10.0 * n) for n in (1, 2) for seed in (1001, 1002)]
    verdict = Verdict(study(trials, confirm), "episode_reward_mean")
    assert pairs(list_trainings("test", verdict, PLAN)) == [(2, 2001)]


def test_one_configuration_leaves_nothing_to_confirm():
    assert list_trainings("confirm", Verdict(study(TRIALS[:1]), "episode_reward_mean"), PLAN) == []


def test_a_finalist_is_trained_on_one_seed_of_the_stage_and_its_starts(line):
    finals = StageSpace(line, Verdict(study(TRIALS), "episode_reward_mean"), evaluation_seed=7)
    candidate = finals.compose_candidate({TRIAL: 1}, seed=1001)
    assert candidate.config["ppo"]["learning_rate"] == 2e-4
    assert (candidate.config["seed"], candidate.config["evaluation"]["seed"]) == (1001, 7)
    assert candidate.config["search"]["seeds_per_configuration"] == 1
    assert {"evaluation.seed=7", "seed=1001"} <= set(candidate.overrides)


def test_a_finalist_that_waits_in_the_queue_is_trained_although_its_first_trial_cannot_be_read_any_more(line):
    gone = LeftOut("trials", 1, {"ppo.learning_rate": 2e-4, "seed": 5}, "it was deleted")
    finals = StageSpace(line, Verdict(replace(study(TRIALS[:1]), left_out=[gone]), "episode_reward_mean"), 7)
    config = finals.compose_candidate({TRIAL: 1}, seed=1001).config
    assert (config["ppo"]["learning_rate"], config["seed"]) == (2e-4, 1001)


def test_the_default_is_trained_although_the_space_does_not_hold_it(make_space):
    space = make_space("network=small,large")
    finals = StageSpace(space, Verdict(study([]), "episode_reward_mean"), evaluation_seed=7)
    candidate = finals.compose_candidate({TRIAL: DEFAULT}, seed=2001)
    assert candidate.choices["network"] == "medium"
    assert candidate.config["network"]["hidden_layer_sizes"] == [256, 128, 64]
    assert candidate.config["seed"] == 2001
