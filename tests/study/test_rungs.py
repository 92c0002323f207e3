"""Rungs: which trials wait at one, and which go on."""

import math

import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState, create_trial

from vbot_train.study.accounting import TrialCounts
from vbot_train.study.attributes import CAUSE, ORIGIN, PROMOTED, SEED, SEEDS, STATUS
from vbot_train.study.recorded_settings import RecordedScheduler
from vbot_train.study.rungs import NO_RUNGS, Rungs, build_rungs

RUNGS = Rungs((1, 2), evaluations_per_trial=4, reduction_factor=3)  # at a quarter and at half of a training


def at(*values, passed=0, state=TrialState.WAITING, **attributes):
    """A trial with these values at the evaluations 1, 2, ..."""
    attributes = {STATUS: "paused", ORIGIN: "proposed", **attributes}
    if passed:
        attributes[PROMOTED] = passed
    return create_trial(
        state=state,
        value=1.0 if state == TrialState.COMPLETE else None,
        params={"x": 0.5},
        distributions={"x": FloatDistribution(0, 1)},
        intermediate_values=dict(enumerate(values, start=1)),
        user_attrs=attributes,
    )


def counts_of(*trials, rungs=RUNGS, retries=0):
    for number, trial in enumerate(trials):
        trial.number = number
    return TrialCounts(trials, retries, rungs=rungs)


def promotable(*trials, is_last=False, rungs=RUNGS):
    found = counts_of(*trials, rungs=rungs).find_promotable(is_last=is_last)
    return None if found is None else found.number


def running(*values, passed=0):
    return at(*values, passed=passed, state=TrialState.RUNNING, worker="a worker")


def diverged(*values, passed=0):
    return at(*values, passed=passed, state=TrialState.FAIL, **{STATUS: "diverged"})


def test_rungs_lie_on_the_evaluations_at_their_shares_and_one_at_the_end_compares_nothing():
    scheduler = RecordedScheduler(rungs=[0.125, 0.5, 1.0], reduction_factor=4)
    rungs = build_rungs(scheduler, 8, "fall_rate")
    assert rungs == Rungs((1, 4), evaluations_per_trial=8, reduction_factor=4, sign=-1)
    assert [rungs.get_share(rung) for rung in (1, 2, 3)] == [0.125, 0.5, 1.0]
    assert [rungs.find_rung(evaluation) for evaluation in (1, 2, 4, 8)] == [1, None, 2, None]


def test_the_mean_share_of_a_training_follows_from_the_shares_that_pass():
    assert RUNGS.mean_share == pytest.approx(1 / 4 + 1 / 4 / 3 + 1 / 2 / 9)
    assert NO_RUNGS.mean_share == 1
    assert RUNGS.estimate_trainings(seeds=3) == pytest.approx(RUNGS.mean_share + 2 / 9)
    assert NO_RUNGS.estimate_trainings(seeds=3) == 3
    assert str(RUNGS).endswith("the best 1 in 3 go on at 25%, 50% of a training, 0.39 trainings per trial")


def test_nobody_goes_on_before_there_are_three_and_then_the_best_does():
    assert promotable(at(1.0), at(3.0)) is None
    assert promotable(at(1.0), at(3.0), at(2.0)) == 1
    assert promotable(at(1.0), at(3.0), at(2.0), at(5.0), at(4.0)) == 3
    assert promotable(at(1.0), at(3.0), at(2.0), rungs=Rungs((1, 2), 4, 3, sign=-1)) == 0


def test_trials_are_compared_by_the_best_value_so_far_since_they_would_end_with_its_checkpoint():
    fell = at(9.0, 1.0, passed=1)
    assert promotable(fell, at(2.0, 3.0, passed=1), at(2.0, 4.0, passed=1)) == 0
    values = fell.intermediate_values
    assert RUNGS.find_best(values, 2) == 9.0 and Rungs((1, 2), 4, 3, sign=-1).find_best(values, 2) == 1.0


def test_who_has_gone_on_holds_a_place_so_that_the_next_needs_a_sixth_trial():
    gone = at(9.0, state=TrialState.COMPLETE, passed=2, **{STATUS: "completed"})
    assert promotable(gone, at(3.0), at(2.0), at(1.0), at(1.0)) is None
    assert promotable(gone, at(3.0), at(2.0), at(1.0), at(1.0), at(0.0)) == 1


def test_of_two_rungs_the_higher_one_comes_first():
    second = [at(0.5, 1.0, passed=1), at(0.5, 2.0, passed=1), at(0.5, 3.0, passed=1)]
    assert promotable(*second, *[at(value) for value in (9.0, 0.0, 0.0, 0.0, 0.0, 0.0)]) == 2


def test_of_equal_values_the_older_trial_goes_on():
    assert promotable(at(2.0), at(2.0), at(2.0)) == 0


def test_a_lost_trial_counts_as_one_that_came_to_the_next_rung_and_was_the_worst():
    assert promotable(at(1.0), at(2.0), diverged()) == 1
    assert promotable(at(0.9, 1.0, passed=1), at(0.9, 2.0, passed=1), diverged(0.9, passed=1)) == 1


def test_nothing_observed_is_worse_than_any_value():
    assert promotable(at(-math.inf), at(-5.0), at(-math.inf)) == 1


@pytest.mark.parametrize("on_the_way", [running(), running(5.0, passed=1)])
def test_as_long_as_another_may_arrive_nobody_goes_on_for_want_of_a_better_one(on_the_way):
    assert promotable(at(9.0, 1.0, passed=1), at(2.0), on_the_way, is_last=True) is None


def test_when_nothing_else_comes_the_best_of_the_lowest_rung_from_which_nobody_went_on_does():
    assert promotable(at(1.0), at(2.0), is_last=True) == 1
    assert promotable(at(0.9, 1.0, passed=1), at(0.9, 2.0, passed=1), at(0.3), is_last=True) == 1
    completed = at(0.9, 2.0, passed=2, state=TrialState.COMPLETE, **{STATUS: "completed"})
    assert promotable(at(0.9, 1.0, passed=1), completed, at(0.3), is_last=True) is None


def test_a_waiting_trial_that_no_longer_fits_in_keeps_nobody_from_going_on():
    assert promotable(at(1.0), at(2.0), at(), is_last=True) == 1


def test_a_promoted_trial_that_is_given_up_has_not_gone_on():
    given_up = at(5.0, passed=1, state=TrialState.FAIL, **{STATUS: "failed", CAUSE: "the trial's process was killed"})
    assert promotable(at(1.0), at(2.0), given_up, is_last=True) == 1


def test_a_value_that_a_killed_worker_did_not_report_is_not_missed():
    gap = at(0.0, 9.0)
    del gap.intermediate_values[1]
    assert promotable(gap, at(1.0), at(2.0), at(3.0)) == 3
    assert promotable(gap, at(0.9, 1.0, passed=1), at(0.9, 2.0, passed=1)) == 0
    assert counts_of(gap).paused == [gap]


def test_a_trial_that_ran_on_beyond_its_rung_is_compared_at_both():
    too_far = at(0.0, 9.0)
    assert promotable(too_far, at(1.0), at(2.0), at(9.0, 1.0, passed=1), at(9.0, 2.0, passed=1)) is None


def test_when_the_only_one_that_went_on_is_lost_the_next_best_does():
    assert promotable(at(1.0), at(2.0), diverged(5.0, passed=1), is_last=True) == 1


def test_a_waiting_trial_is_paused_by_its_values_whatever_its_status_says():
    counts = counts_of(at(1.0, **{STATUS: "interrupted"}), at(1.0, passed=1), at(**{STATUS: "interrupted"}), at())
    assert [trial.number for trial in counts.paused] == [0]
    assert [trial.number for trial in counts.interrupted] == [1, 2, 3]


def test_without_rungs_nobody_is_paused():
    counts = counts_of(at(1.0), at(2.0), rungs=NO_RUNGS)
    assert counts.paused == [] and counts.find_promotable() is counts.find_promotable(is_last=True) is None


def of_seed(seed, trial):
    trial.user_attrs.update({SEED: seed, SEEDS: [5, 6, 7]})
    return trial


def test_only_the_first_seed_is_compared_and_the_others_follow_when_it_has_passed_the_last_rung():
    first = of_seed(5, at(3.0, 3.0, passed=1))
    counts = counts_of(first)
    assert counts.incomplete == [] and (counts.promised, counts.started) == (3, 3)
    counts = counts_of(of_seed(5, at(3.0, 3.0, passed=2, state=TrialState.RUNNING)))
    assert [seed for _, seed in counts.incomplete] == [6, 7] and counts.promised == 1
    other = of_seed(6, at(9.0, 9.0, state=TrialState.RUNNING))
    assert RUNGS.count_reached(other) == 0 and not RUNGS.is_paused(of_seed(6, at(9.0)))
