"""The cheapest configuration that is good enough, and the Pareto front of score against the cost of a training."""

import math
from dataclasses import replace

import pytest
from standing import ended, write_study
from studies import METRIC, lived_on, retrained, screened, study

from vbot_train.analysis.cost import CostPoint, compare_costs, list_front
from vbot_train.analysis.headline import write_cheapest
from vbot_train.analysis.importance import ImportanceReport
from vbot_train.analysis.report_figures import build_figures
from vbot_train.analysis.summary import describe_cheapest
from vbot_train.analysis.verdict import Verdict
from vbot_train.study.loading import load_study
from vbot_train.training.metrics import METRICS

NONE = ImportanceReport([], {}, "insufficient: 3 of 30 completed trials", "ped_anova", 3)
UNCONFIRMED = {"confirm": None, "test": None}


def taking(seconds, env_steps=1_000_000):
    """The cost of a training."""
    return {"cost": (seconds, env_steps)}


# Finalists 1 and 2: confirmed 20 at 60 s, 19.5 at 40 s. Trial 0 is cheap and bad.
SEARCH = [
    screened(0, 10.0, origin="default", **taking(5.0)),
    screened(1, 30.0, **taking(60.0)),
    screened(2, 25.0, **taking(10.0)),
]
CONFIRM = [
    *(retrained(1, seed, value, **taking(60.0)) for seed, value in ((1001, 19.0), (1002, 21.0))),
    *(retrained(2, 1001, 19.0, **taking(40.0)), retrained(2, 1002, 20.0, **taking(90.0))),
]


def verdict(*stages, metric=METRIC, within=None, **record):
    return Verdict(study(*stages, **record), metric, within)


def with_setting(within):
    return {"config": {"search": {"within": within}}}


def figure_of(found):
    """Caption and figure of the Pareto front."""
    shown = {title: (caption, figure) for title, caption, figure in build_figures(found, NONE)}
    return shown["Score against cost"]


def test_the_cheapest_is_within_one_standard_error_of_the_best_over_its_seeds():
    costs = compare_costs(verdict(SEARCH, CONFIRM))
    assert (costs.kind, costs.best.number, costs.best.value) == ("confirmed", 1, 20.0)
    assert costs.tolerance.amount == pytest.approx(1.0)  # standard deviation of 19 and 21 is sqrt(2), over 2 seeds
    assert costs.cheapest.number == 2  # 19.5 is 0.5 less


def test_what_a_training_takes_is_the_median_over_the_completed_ones_of_all_stages():
    lost = retrained(2, 1002, 0.0, status="failed", **taking(1.0))
    costs = compare_costs(verdict(SEARCH, [*CONFIRM[:3], lost, CONFIRM[3]]))
    assert costs.cheapest.wall_s == 40.0  # of 10, 40 and 90; not of the one that crashed
    assert costs.best.wall_s == 60.0


@pytest.mark.parametrize(("within", "cheapest"), [(0.4, 1), (0.5, 2), (0.6, 2)])
def test_search_within_takes_the_place_of_the_standard_error(within, cheapest):
    costs = compare_costs(verdict(SEARCH, CONFIRM, **with_setting(within)))
    assert (costs.tolerance.amount, costs.tolerance.origin) == (within, "given")
    assert costs.cheapest.number == cheapest  # 1 has 20.0, 2 has 19.5


def test_an_amount_given_to_the_analysis_takes_the_place_of_the_studys():
    assert compare_costs(verdict(SEARCH, CONFIRM, within=0.1, **with_setting(0.6))).cheapest.number == 1


def test_the_studys_amount_is_in_units_of_its_objective_and_does_not_hold_for_another_metric():
    twice = [screened(0, 1.0, rate=1e-3, fall_rate=0.2), screened(1, 1.0, rate=1e-3, seed=43, fall_rate=0.4)]
    rows = [*twice, screened(2, 1.0, fall_rate=0.9)]
    costs = compare_costs(verdict(rows, metric="fall_rate", **UNCONFIRMED, **with_setting(5.0)))
    assert costs.tolerance.amount == pytest.approx(0.1)  # of 0.2 and 0.4


def test_a_difference_of_exactly_the_amount_is_within_it_although_floats_are_inexact():
    rows = [screened(0, 0.8), screened(1, 0.7, **taking(1.0))]
    assert 0.8 - 0.7 > 0.1
    assert compare_costs(verdict(rows, within=0.1, **UNCONFIRMED)).cheapest.number == 1


def test_of_a_metric_where_less_is_better_worse_is_more():
    rows = [screened(n, 0.0, fall_rate=rate, **taking(9.0 - n)) for n, rate in enumerate((0.1, 0.15, 0.3))]
    costs = compare_costs(verdict(rows, metric="fall_rate", within=0.1, **UNCONFIRMED))
    assert (costs.best.number, costs.cheapest.number) == (0, 1)


def test_wall_clock_decides_and_env_steps_only_where_it_is_equal():
    rows = [screened(0, 3.0), screened(1, 3.0, **taking(60.0, 900_000)), screened(2, 3.0, **taking(59.0, 2_000_000))]
    assert compare_costs(verdict(rows, within=1.0, **UNCONFIRMED)).cheapest.number == 2
    assert compare_costs(verdict(rows[:2], within=1.0, **UNCONFIRMED)).cheapest.number == 1


def test_until_all_finalists_are_confirmed_the_values_are_those_that_the_search_saw():
    costs = compare_costs(verdict(SEARCH, CONFIRM[:3], within=5.0))
    assert (costs.kind, [point.value for point in costs.points]) == ("seen", [30.0, 25.0, 10.0])
    assert costs.cheapest.number == 2


def test_tested_values_choose_nothing_even_if_every_finalist_is_tested():
    rows = [screened(0, 30.0, origin="default", **taking(9.0)), screened(1, 20.0)]
    confirm = [retrained(n, seed, 20.0 - n, **taking(9.0)) for n in (0, 1) for seed in (1001, 1002)]
    test = [retrained(n, seed, 10.0 + n) for n in (0, 1) for seed in (2001, 2002)]
    found = compare_costs(verdict(rows, confirm, test))
    assert (found.kind, [point.number for point in found.points]) == ("confirmed", [0, 1])


def test_a_standard_error_of_a_single_seed_is_the_noise_between_the_seeds_of_others():
    twice = [screened(0, 1.0, rate=1e-3), screened(1, 3.0, rate=1e-3, seed=43)]  # variance 2
    rows = [*twice, screened(2, 5.0), screened(3, 4.0, **taking(30.0))]
    costs = compare_costs(verdict(rows, **UNCONFIRMED))
    assert costs.tolerance.amount == pytest.approx(math.sqrt(2))
    assert costs.cheapest.number == 3


def test_without_any_noise_known_no_cheapest_is_named_and_a_line_says_so():
    found = verdict(SEARCH, **UNCONFIRMED)
    (line,) = write_cheapest(found)
    assert (
        line.startswith("no cheapest configuration: no configuration was trained on two seeds") and "--within" in line
    )
    assert describe_cheapest(found)["config_id"] is None
    caption, figure = figure_of(found)
    assert "ring" not in caption and not points_of(figure, "cheapest")


def test_a_configuration_that_lost_a_seed_is_not_good_enough():
    broken = [*CONFIRM[:3], retrained(2, 1002, 0.0, status="diverged", **taking(1.0))]
    third = [retrained(0, seed, 19.5, **taking(9.0)) for seed in (1001, 1002)]
    plan = {"confirm": {"top_k": 3, "seeds": [1001, 1002]}, "test": None}
    costs = compare_costs(verdict(SEARCH, [*broken, *third], **plan))
    assert [point.number for point in costs.points] == [1, 0]


def test_one_configuration_alone_leaves_nothing_to_choose():
    found = verdict([screened(0, 1.0), screened(1, 3.0, rate=1e-4, seed=43), screened(2, 9.0, status="diverged")])
    assert compare_costs(found) is None and describe_cheapest(found) is None
    assert list(write_cheapest(found)) == []


def test_the_line_says_value_wall_clock_and_env_steps_of_the_cheapest_and_of_the_best():
    (line,) = write_cheapest(verdict(SEARCH, CONFIRM))
    assert line == (
        "cheapest within 1 (one standard error over its 2 seeds) of the best confirmed episode_reward_mean: "
        "config_002 with 19.5, 40 s and 1,000,000 env steps a training; "
        "the best is config_001 with 20, 60 s and 1,000,000 env steps a training"
    )
    (line,) = write_cheapest(verdict(SEARCH, CONFIRM, within=0.1))
    assert line.startswith("cheapest within 0.1 (given) of") and line.endswith("env steps a training; it is the best")


def test_the_analysis_file_holds_the_same():
    content = describe_cheapest(verdict(SEARCH, CONFIRM, **with_setting(0.6)))
    assert content == {
        "config_id": "config_002",
        "value": 19.5,
        "wall_time_s": 40.0,
        "env_steps": 1_000_000,
        "within": 0.6,
        "within_is": "given",
        "compared_by": "confirmed episode_reward_mean",
        "compared": 2,
        "best": {"config_id": "config_001", "value": 20.0, "wall_time_s": 60.0, "env_steps": 1_000_000},
    }


@pytest.mark.parametrize(("metric", "expected"), [(METRIC, [0, 2, 3]), ("fall_rate", [0, 1])])
def test_the_front_is_what_no_other_beats_in_value_and_cost(metric, expected):
    rows = [(10.0, 1.0), (20.0, 0.5), (30.0, 2.0), (40.0, 3.0), (40.0, 2.5), (50.0, 3.0)]  # seconds, value
    points = [CostPoint(n, [value], value, seconds, 1) for n, (seconds, value) in enumerate(rows)]
    front = list_front(points, METRICS[metric], lambda point: point.wall_s)
    assert [point.number for point in front] == expected


def points_of(figure, name):
    return [pair for trace in figure.data if trace.name == name for pair in zip(trace.x, trace.y, strict=True)]


def test_the_figure_connects_and_names_the_front_and_marks_default_and_cheapest():
    caption, figure = figure_of(verdict(SEARCH, CONFIRM))
    assert points_of(figure, "seen") == [(60.0, 30.0), (40.0, 25.0), (5.0, 10.0)]
    assert points_of(figure, "Pareto front") == points_of(figure, "confirmed")[::-1] == [(40.0, 19.5), (60.0, 20.0)]
    (front,) = (trace for trace in figure.data if trace.name == "Pareto front")
    assert front.mode == "lines+text" and list(front.text) == ["config_002", "config_001"]
    assert points_of(figure, "default") == [(5.0, 10.0)] and points_of(figure, "cheapest") == [(40.0, 19.5)]
    assert "Wall clock can be compared only between trainings of one machine under the same load." in caption
    assert "All trained equally long" in caption and "within 1 (one standard error over its 2 seeds)" in caption
    assert figure.layout.xaxis.title.text == "wall clock of a training [s]"


def test_a_default_that_the_search_did_not_try_is_marked_where_it_was_tested():
    rows = [screened(1, 30.0), screened(2, 25.0)]
    confirm = [retrained(n, seed, 20.0 - n) for n in (1, 2) for seed in (1001, 1002)]
    test = [retrained(n, seed, 12.0, **taking(50.0)) for n in (1, -1) for seed in (2001, 2002)]
    _, figure = figure_of(verdict(rows, confirm, test))
    assert points_of(figure, "default") == [(50.0, 12.0)]


def test_env_steps_have_a_panel_of_their_own_only_if_they_differ():
    rows = [screened(0, 1.0), screened(1, 3.0, **taking(60.0, 983_040))]  # the second by whole updates
    assert "equally long" in figure_of(verdict(rows, **UNCONFIRMED))[0]
    rows = [screened(0, 1.0), screened(1, 3.0, **taking(60.0, 2_000_000))]
    caption, figure = figure_of(verdict(rows, **UNCONFIRMED))
    assert "equally long" not in caption
    assert points_of(figure, "Pareto front") == [(60.0, 3.0), (1_000_000, 1.0), (2_000_000, 3.0)]


def test_paused_and_failed_trials_have_no_point():
    paused = screened(7, 99.0, status="paused")
    rows = [*SEARCH, screened(5, 99.0, status="failed"), screened(6, 99.0, status="pruned")]
    found = Verdict(replace(study(rows, **UNCONFIRMED), paused=[paused]), METRIC, 1.0)
    assert {point.number for point in compare_costs(found).points} == {0, 1, 2}
    assert len(points_of(figure_of(found)[1], "seen")) == 3


def test_trials_of_two_hosts_are_told_in_line_and_caption_as_their_wall_clocks_do_not_compare():
    hosts = [("west",), ("east", "west"), ("west",)]
    rows = [replace(trial, lives=lived_on(*names)) for trial, names in zip(SEARCH, hosts, strict=True)]
    found = verdict(rows, CONFIRM)
    (line,) = write_cheapest(found)
    assert line.endswith("; trainings ran on 2 hosts, whose wall clocks do not compare")
    assert "These ran on 2 hosts: east, west." in figure_of(found)[0]
    alone = verdict(rows[2:] + rows[:1], within=99.0, **UNCONFIRMED)
    assert "hosts" not in figure_of(alone)[0] and "hosts" not in next(write_cheapest(alone))


def test_a_loaded_trial_knows_the_hosts_of_its_lives(tmp_path):
    assert load_study(write_study(tmp_path / "s", [ended()])).hosts == {"here"}
