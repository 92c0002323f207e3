"""Which trials show what mattered, in a study whose scheduler paused most of them."""

from dataclasses import replace

import pytest
from studies import METRIC, screened, study

from vbot_train.analysis.compared_trials import choose_compared_trials

HALVING = {"config": {"scheduler": {"rungs": [0.25, 0.5], "reduction_factor": 3}, "training": {"evaluations": 4}}}


def at(number, *values, status="paused"):
    """A trial with these held-out values, one per evaluation."""
    return replace(screened(number, values[-1], status=status), intermediate=dict(enumerate(values, start=1)))


def compare(completed, paused, metric=METRIC):
    found = choose_compared_trials(replace(study(completed, **HALVING), paused=paused), metric)
    return {trial.number: trial.result.get_objective(metric) for trial in found.trials}, found.where


def test_where_most_were_paused_early_all_are_compared_at_the_first_rung():
    completed = [at(0, 1.0, 2.0, 3.0, 4.0, status="completed")]
    values, where = compare(completed, [at(1, 0.5), at(2, 0.25), at(3, 0.75, 1.5), at(4, 0.1)])
    assert values == {0: 1.0, 1: 0.5, 2: 0.25, 3: 0.75, 4: 0.1} and where == ", at 25% of the training"


def test_the_rung_is_the_highest_that_four_fifths_have_reached():
    completed = [at(0, 1.0, 2.0, 3.0, 4.0, status="completed")]
    values, where = compare(completed, [at(1, 0.5, 1.0), at(2, 0.25, 0.5), at(3, 0.75, 1.5), at(4, 0.1)])
    assert values == {0: 2.0, 1: 1.0, 2: 0.5, 3: 1.5} and where == ", at 50% of the training"


def test_at_a_rung_a_trial_has_its_best_value_so_far_as_in_the_search():
    completed = [at(0, 3.0, 2.0, 5.0, 4.0, status="completed")]
    values, _ = compare(completed, [at(1, 0.5, 0.25), at(2, 0.25, 0.5), at(3, 1.5, 0.75)])
    assert values == {0: 3.0, 1: 0.5, 2: 0.5, 3: 1.5}


def test_where_four_fifths_were_completed_they_are_compared_at_their_end():
    completed = [at(number, 1.0, 2.0, 3.0, 4.0, status="completed") for number in range(4)]
    values, where = compare(completed, [at(4, 0.5)])
    assert values == dict.fromkeys(range(4), 4.0) and where == ""


def test_a_lost_trial_counts_among_those_that_reached_the_end_and_has_no_value():
    ended = [at(0, 1.0, 2.0, 3.0, 4.0, status="completed"), at(1, 1.0, status="diverged")]
    assert compare(ended, []) == ({0: 4.0}, "")


def test_lost_trials_do_not_make_the_few_that_were_completed_the_most():
    completed = [at(0, 1.0, 2.0, 3.0, 4.0, status="completed")]
    diverged = [at(number, 1.0, status="diverged") for number in range(10, 30)]
    values, where = compare([*completed, *diverged], [at(1, 0.5), at(2, 0.25), at(3, 0.75)])
    assert values == {0: 1.0, 1: 0.5, 2: 0.25, 3: 0.75} and where == ", at 25% of the training"


def test_another_metric_has_values_at_the_end_only():
    completed = [replace(screened(0, 4.0, success_rate=0.9), intermediate={1: 1.0})]
    assert compare(completed, [at(1, 0.5), at(2, 0.25)], "success_rate") == ({0: 0.9}, "")


@pytest.mark.parametrize("nothing", [float("inf"), -float("inf")])
def test_a_trial_of_which_nothing_was_observed_at_the_rung_is_left_out(nothing):
    completed = [at(0, 1.0, 2.0, 3.0, 4.0, status="completed")]
    assert compare(completed, [at(1, nothing), at(2, 0.25), at(3, 0.5)])[0] == {0: 1.0, 2: 0.25, 3: 0.5}
