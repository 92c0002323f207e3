"""Only feasible points are put forward, and which ones does not depend on who asks or when."""

import logging
from collections import Counter

import optuna
import pytest
from optuna.samplers import RandomSampler, TPESampler
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial

from vbot_train.config.composition import ConfigError
from vbot_train.search.space import proposals as proposals_module
from vbot_train.search.space.proposals import GridProposals, SampledProposals, draw_random_points, survey_space
from vbot_train.study.accounting import TrialCounts, identify
from vbot_train.study.attributes import ORIGIN, STATUS

KEY = "ppo.learning_rate"


@pytest.fixture(scope="module")
def line(make_space):
    """Half of it breaks ``too_fast``."""
    return make_space("ppo.learning_rate=interval(1e-4,9e-4)")


@pytest.fixture(scope="module")
def four_cells(make_space):
    return make_space("ppo.rollouts=16,24", "ppo.learning_epochs=2,4")


@pytest.fixture(scope="module")
def quick(make_space):
    """Learning rates 1e-4, 3e-4, 1e-3 at two lengths of the rollout."""
    return make_space("search=quick")


@pytest.fixture
def few_tries(monkeypatch):
    monkeypatch.setattr(proposals_module, "MAX_RANDOM_TRIES", 100)


def anything(candidate):
    return []


def too_fast(candidate):
    return ["too_fast"] if candidate.config["ppo"]["learning_rate"] > 5e-4 else []


def never(candidate):
    return ["never"]


def tpe(seed):
    return TPESampler(seed=seed, multivariate=True, constant_liar=True, n_startup_trials=5)


def sampled(space, broken_rules=anything, sampler=RandomSampler, *, seed=0, repeats=True):
    direction = StudyDirection.MAXIMIZE
    return SampledProposals(space, broken_rules, sampler, seed=seed, direction=direction, repeats=repeats)


def propose(study, space, proposals):
    """The next trial of a study, as a worker gets it."""
    counts = TrialCounts(study.get_trials(deepcopy=False), retries=0)
    point = proposals.draw(counts.trials, counts.taken, counts.proposals)
    if point is None:
        return None
    study.enqueue_trial(point, user_attrs={ORIGIN: "proposed", STATUS: "completed"})  # the latter once it has ended
    return study.ask(space.distributions)


def test_a_grid_is_surveyed_cell_by_cell(quick):
    found = survey_space(quick, too_fast, grid=True, seed=0)
    assert (found.points, len(found.feasible), found.broken) == (6, 4, {"too_fast": 2})  # 1e-3 at 2 rollouts
    assert {point[KEY] for point in found.feasible} == {1e-4, 3e-4}
    assert found.share == 4 / 6


def test_a_space_without_cells_is_surveyed_at_random(line, monkeypatch):
    monkeypatch.setattr(proposals_module, "SURVEY_POINTS", 100)
    found = survey_space(line, too_fast, grid=False, seed=0)
    assert found.points == len(found.feasible) + found.broken["too_fast"] == 100
    assert 0.3 < found.share < 0.7  # a half, +- 4 standard deviations
    assert all(point[KEY] <= 5e-4 for point in found.feasible)


def test_an_infeasible_point_counts_for_its_first_rule_and_every_rule_is_seen_to_hold(four_cells):
    def rules(candidate):
        return ["long", "longer"] if candidate.config["ppo"]["rollouts"] > 16 else []

    found = survey_space(four_cells, rules, grid=True, seed=0)
    assert found.broken == {"long": 2}
    assert found.holds == {"long", "longer"}


def test_a_space_without_a_feasible_point_is_refused(quick):
    with pytest.raises(ConfigError, match="none of 6 points is feasible, they break never"):
        survey_space(quick, never, grid=True, seed=0)


def test_random_points_are_uniform_in_the_logarithm_of_a_log_range_and_the_same_for_a_seed(make_space):
    space = make_space("ppo.learning_rate=tag(log,interval(1e-5,1e-1))")
    points = [point[KEY] for point in draw_random_points(space, 3, 400)]
    assert 160 < sum(point < 1e-3 for point in points) < 240  # 200 of 400 +- 4 standard deviations
    assert points[:5] == [point[KEY] for point in draw_random_points(space, 3, 5)]
    assert points[0] != next(draw_random_points(space, 4, 1))[KEY]


@pytest.mark.parametrize("sampler", [RandomSampler, tpe], ids=["random", "bayesian"])
def test_what_is_drawn_from_a_range_of_floats_is_a_number_that_is_written(make_space, sampler):
    space, key, values = make_space("ppo.ratio_clip=range(0.1,0.5,0.1)"), "ppo.ratio_clip", {0.1, 0.2, 0.3, 0.4}
    assert {point[key] for point in draw_random_points(space, 0, 40)} == values  # not 0.1 + 2 * 0.1
    study, proposals = optuna.create_study(direction="maximize"), sampled(space, sampler=sampler)
    for _ in range(12):
        trial = propose(study, space, proposals)
        study.tell(trial, -abs(trial.params[key] - 0.3))
    assert 0.3 in (drawn := {trial.params[key] for trial in study.trials}) and drawn <= values


def test_a_grid_gives_its_cells_in_order_but_for_those_that_are_taken():
    cells = [{"x": x, "y": y} for x in (1, 2) for y in ("a", "b")]
    grid = GridProposals(cells)
    taken = []
    for cell in cells:
        assert grid.draw([], taken, 0) == cell
        taken.append(identify(cell))
    assert grid.draw([], taken, 0) is None
    assert grid.draw([], [*taken[:1], *taken[2:]], 99) == cells[1]


@pytest.mark.parametrize("sampler", [RandomSampler, tpe], ids=["random", "bayesian"])
def test_no_infeasible_point_is_drawn_and_rejections_are_counted(line, sampler):
    study = optuna.create_study(direction="maximize")
    proposals = sampled(line, too_fast, sampler)
    for _ in range(12):
        trial = propose(study, line, proposals)
        assert trial.params[KEY] <= 5e-4
        study.tell(trial, trial.params[KEY])  # the best lies at the edge of the rule
    assert [trial.number for trial in study.trials] == list(range(12))
    assert len({trial.params[KEY] for trial in study.trials}) == 12
    assert proposals.rejected.keys() == {"too_fast"} and proposals.rejected["too_fast"] > 3


def test_each_rejection_counts_once_for_the_first_rule(line):
    answers = [["first", "second"], ["second"], ["first"], []]
    proposals = sampled(line, lambda candidate: answers.pop(0))
    proposals.draw([], {}, 0)
    assert proposals.rejected == Counter(first=2, second=1)


class Stubborn(RandomSampler):
    """Draws the infeasible, whatever happens."""

    def sample_independent(self, study, trial, name, distribution):
        return 9e-4


def test_a_sampler_that_insists_on_the_infeasible_is_replaced_by_random_feasible_points(line, caplog):
    caplog.set_level(logging.WARNING)
    proposals = sampled(line, too_fast, Stubborn)
    points = [proposals.draw([], {}, index)[KEY] for index in range(3)]
    assert all(point <= 5e-4 for point in points) and len(set(points)) == 3
    assert proposals.rejected["too_fast"] >= 3 * 50
    assert "50 points from the sampler in a row" in caplog.text


def test_a_space_in_which_nothing_feasible_is_found_is_refused(line, few_tries):
    with pytest.raises(ConfigError, match="no feasible point among 100 random ones"):
        sampled(line, never).draw([], {}, 0)


def test_a_random_search_tries_the_same_points_whoever_draws_them_and_whenever(line):
    alone = sampled(line, too_fast)
    points = [alone.draw([], {}, index) for index in range(6)]
    assert len({point[KEY] for point in points}) == 6
    two = [sampled(line, too_fast), sampled(line, too_fast)]
    assert [two[index % 2].draw([], {}, index) for index in range(6)] == points
    study = optuna.create_study(direction="maximize")
    for _ in range(6):  # interrupted after each trial
        trial = propose(study, line, sampled(line, too_fast))
        study.tell(trial, state=TrialState.FAIL)
    assert [trial.params for trial in study.trials] == points
    assert sampled(line, too_fast, seed=1).draw([], {}, 0) not in points


def test_a_resumed_sampler_repeats_nothing(line):
    study = optuna.create_study(direction="maximize")
    for _ in range(10):
        trial = propose(study, line, sampled(line, sampler=tpe))  # as new each time
        study.tell(trial, trial.params[KEY])
    assert len({trial.params[KEY] for trial in study.trials}) == 10


def test_a_sampler_sees_the_trials_of_the_study_and_no_value_of_a_rejected_point(line):
    seen = []

    class Watching(RandomSampler):
        def sample_independent(self, study, trial, name, distribution):
            seen.append([(t.state, t.values) for t in study.get_trials(deepcopy=False)])
            return super().sample_independent(study, trial, name, distribution)

    answers = [["mine"], []]
    attributes = {STATUS: "completed"}
    told = create_trial(value=2.0, params={KEY: 3e-4}, distributions=line.distributions, user_attrs=attributes)
    sampled(line, lambda candidate: answers.pop(0), Watching).draw([told], {}, 1)
    running, rejected = (TrialState.RUNNING, None), (TrialState.FAIL, None)
    assert seen == [[(TrialState.COMPLETE, [2.0]), running], [(TrialState.COMPLETE, [2.0]), rejected, running]]


def test_a_configuration_is_drawn_once_where_repeats_are_skipped_until_the_space_is_exhausted(four_cells, few_tries):
    def rule(candidate):
        ppo = candidate.config["ppo"]
        return ["mine"] if (ppo["rollouts"], ppo["learning_epochs"]) == (16, 2) else []

    study = optuna.create_study(direction="maximize")
    proposals = sampled(four_cells, rule, repeats=False)
    drawn = [propose(study, four_cells, proposals) for _ in range(4)]
    assert drawn[3] is None
    assert sorted((t.params["ppo.rollouts"], t.params["ppo.learning_epochs"]) for t in drawn[:3]) == [
        *((16, 4), (24, 2), (24, 4))
    ]


def test_a_configuration_is_drawn_again_where_repeats_are_allowed(four_cells):
    taken = [identify(cell) for cell in four_cells.list_cells()]
    assert identify(sampled(four_cells).draw([], taken, 4)) in taken
