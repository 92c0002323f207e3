"""A sampler learns from what was completed, runs or is lost, and from nothing else."""

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial

from vbot_train.search.space.sampler_study import build_sampler_study
from vbot_train.study.accounting import TrialCounts
from vbot_train.study.attributes import CAUSE, ORIGIN, PROMOTED, RETRY_OF, SEED, SEEDS, STATUS
from vbot_train.study.rungs import NO_RUNGS, Rungs

UNIT = FloatDistribution(0, 1)


COMPLETED = {STATUS: "completed"}
RUNS = {"worker": "a worker"}


def numbered(*trials):
    for number, trial in enumerate(trials):
        trial.number = number
    return list(trials)


def completed(value, x=0.5):
    return create_trial(value=value, params={"x": x}, distributions={"x": UNIT}, user_attrs={STATUS: "completed"})


def failed(status, x=0.5, **attributes):
    attributes[STATUS] = status
    return create_trial(state=TrialState.FAIL, params={"x": x}, distributions={"x": UNIT}, user_attrs=attributes)


def running(x=0.5):
    attributes = {"worker": "a worker"}
    return create_trial(state=TrialState.RUNNING, params={"x": x}, distributions={"x": UNIT}, user_attrs=attributes)


def learned(trials, retries=0, direction=StudyDirection.MAXIMIZE, rungs=NO_RUNGS):
    """What a sampler learns from, as (state, value, x)."""
    counts = TrialCounts(trials, retries, rungs=rungs)
    study = build_sampler_study(counts, direction, optuna.samplers.RandomSampler())
    told = study.get_trials(deepcopy=False)
    return [(trial.state.name, trial.values and trial.values[0], trial.params["x"]) for trial in told]


@pytest.mark.parametrize(("direction", "worst"), [(StudyDirection.MAXIMIZE, 1.0), (StudyDirection.MINIMIZE, 3.0)])
@pytest.mark.parametrize("status", ["diverged", "timeout", "failed", "completed"])  # the last without a value
def test_a_lost_trial_is_told_as_the_worst_value_seen(direction, worst, status):
    trials = numbered(completed(2.0), completed(1.0), completed(3.0), failed(status, 0.9))
    assert learned(trials, direction=direction)[3:] == [("COMPLETE", worst, 0.9)]


def test_a_trial_that_crashes_is_told_once_its_retries_are_used_up():
    crashes = [failed("failed", 0.9), failed("failed", 0.9, **{RETRY_OF: 1})]
    trials = numbered(completed(1.0), *crashes)
    assert learned(trials[:2], retries=1) == [("COMPLETE", 1.0, 0.5)]
    assert learned(trials, retries=1) == [("COMPLETE", 1.0, 0.5), ("COMPLETE", 1.0, 0.9)]


OUT_OF_MEMORY = {CAUSE: "the trial's process was killed (signal 9); out of memory?"}
FULL_DISK = {CAUSE: "OSError: [Errno 28] No space left on device"}
INTERRUPTED = [failed("interrupted"), failed("interrupted", **{RETRY_OF: 1})]  # by an earlier version


@pytest.mark.parametrize("ends", [[failed("failed", **OUT_OF_MEMORY)], [failed("failed", **FULL_DISK)], INTERRUPTED])
def test_of_a_trial_that_is_given_up_for_a_cause_outside_of_it_nothing_is_told(ends):
    assert learned(numbered(completed(1.0), *ends)) == [("COMPLETE", 1.0, 0.5)]


def test_a_diverged_trial_waits_until_there_is_a_value_and_is_told_once_as_the_worst_so_far():
    trials = numbered(failed("diverged", 0.9), completed(2.0, 0.1), completed(1.0, 0.2))
    assert learned(trials[:1]) == []
    assert learned(trials[:2]) == [("COMPLETE", 2.0, 0.9), ("COMPLETE", 2.0, 0.1)]
    assert learned(trials) == [("COMPLETE", 1.0, 0.9), ("COMPLETE", 2.0, 0.1), ("COMPLETE", 1.0, 0.2)]


def test_nothing_is_learned_from_what_is_trained_again_or_waits():
    point = {"params": {"x": 0.5}, "distributions": {"x": UNIT}}
    waiting = create_trial(state=TrialState.WAITING, user_attrs={ORIGIN: "proposed"}, **point)
    assert learned(numbered(completed(1.0), failed("failed"), failed("interrupted"), waiting), retries=1) == [
        ("COMPLETE", 1.0, 0.5)
    ]


def test_a_running_trial_is_known_as_running_until_it_ends():
    assert learned(numbered(running(0.1), running(0.2), running(0.3))) == [
        ("RUNNING", None, 0.1),
        ("RUNNING", None, 0.2),
        ("RUNNING", None, 0.3),
    ]
    assert learned(numbered(running(0.1), completed(5.0, 0.2), failed("interrupted", 0.3))) == [
        ("RUNNING", None, 0.1),
        ("COMPLETE", 5.0, 0.2),
    ]
    assert learned(numbered(failed("diverged", 0.1), completed(5.0, 0.2), failed("interrupted", 0.3))) == [
        ("COMPLETE", 5.0, 0.1),
        ("COMPLETE", 5.0, 0.2),
    ]


def test_a_running_trial_that_diverges_first_of_all_leaves_no_trace_until_there_is_a_value():
    assert learned(numbered(failed("diverged", 0.1))) == []
    assert learned(numbered(failed("diverged", 0.1), completed(4.0, 0.2))) == [
        ("COMPLETE", 4.0, 0.1),
        ("COMPLETE", 4.0, 0.2),
    ]


def trial_of(state, seed, x=0.9, *, seeds=(5, 6, 7), value=None, values=None, **attributes):
    """The trial that trains a configuration on one of its seeds."""
    told = {"params": {"x": x}, "distributions": {"x": UNIT}, "intermediate_values": values}
    return create_trial(state=state, value=value, user_attrs={**attributes, SEED: seed, SEEDS: list(seeds)}, **told)


def has_value(seed, value, **options):
    return trial_of(TrialState.COMPLETE, seed, value=value, **COMPLETED, **options)


def runs(seed, **options):
    return trial_of(TrialState.RUNNING, seed, **RUNS, **options)


def waits(seed, **options):
    return trial_of(TrialState.WAITING, seed, **{ORIGIN: "proposed"}, **options)


def has_failed(seed, status="failed", **options):
    return trial_of(TrialState.FAIL, seed, **{STATUS: status}, **options)


def test_a_configuration_on_three_seeds_is_told_once_as_their_mean():
    assert learned(numbered(has_value(5, 1.0), has_value(6, 2.0), has_value(7, 6.0))) == [("COMPLETE", 3.0, 0.9)]


def test_a_configuration_on_many_seeds_is_told_as_the_mean_of_the_middle_half():
    seeds = (5, 6, 7, 8)
    trials = [has_value(seed, value, seeds=seeds) for seed, value in zip(seeds, (90.0, 4.0, -50.0, 2.0), strict=True)]
    assert learned(numbered(*trials)) == [("COMPLETE", 3.0, 0.9)]


def test_a_configuration_runs_until_the_last_of_its_seeds_has_ended():
    assert learned(numbered(waits(5), waits(6), waits(7))) == []
    for trials in (
        [runs(5), waits(6), waits(7)],
        [has_value(5, 1.0), waits(6), waits(7)],
        [has_value(5, 1.0), has_value(6, 2.0), runs(7)],
    ):
        assert learned(numbered(*trials)) == [("RUNNING", None, 0.9)]
    assert learned(numbered(has_value(5, 1.0), has_value(6, 2.0), has_value(7, 6.0))) == [("COMPLETE", 3.0, 0.9)]


def test_a_configuration_whose_seed_was_interrupted_still_runs():
    assert learned(numbered(has_value(5, 1.0), has_value(6, 2.0), waits(7, **{STATUS: "interrupted"}))) == [
        ("RUNNING", None, 0.9)
    ]


@pytest.mark.parametrize(("direction", "worst"), [(StudyDirection.MAXIMIZE, 1.0), (StudyDirection.MINIMIZE, 8.0)])
@pytest.mark.parametrize("status", ["diverged", "timeout", "failed"])
def test_a_configuration_that_has_lost_a_seed_is_told_as_the_worst_value_of_a_whole_one(direction, worst, status):
    """Not as the worst of a seed, and the values of the lost one's own other seeds are none to be worse than."""
    whole = [has_value(5, 0.0, x=0.1), has_value(6, 1.0, x=0.1), has_value(7, 2.0, x=0.1)]
    other = [completed(8.0, 0.2)]
    lost = [has_value(5, 99.0), has_failed(6, status), has_value(7, -99.0)]
    assert learned(numbered(*whole, *other, *lost), direction=direction) == [
        ("COMPLETE", 1.0, 0.1),
        ("COMPLETE", 8.0, 0.2),
        ("COMPLETE", worst, 0.9),
    ]


def test_a_configuration_that_has_lost_a_seed_runs_while_another_seed_of_it_does():
    assert learned(numbered(completed(1.0), has_failed(5, "diverged"), runs(6), waits(7))) == [
        ("COMPLETE", 1.0, 0.5),
        ("RUNNING", None, 0.9),
    ]


@pytest.mark.parametrize("cause", [OUT_OF_MEMORY, FULL_DISK])
def test_of_a_configuration_one_of_whose_seeds_was_killed_nothing_is_told(cause):
    assert learned(numbered(completed(1.0), has_value(5, 1.0), runs(6), has_value(7, 3.0))) == [
        ("COMPLETE", 1.0, 0.5),
        ("RUNNING", None, 0.9),
    ]
    assert learned(numbered(completed(1.0), has_value(5, 1.0), has_failed(6, **cause), has_value(7, 3.0))) == [
        ("COMPLETE", 1.0, 0.5)
    ]


def test_a_seed_that_crashed_is_told_by_its_retry():
    trials = numbered(has_value(5, 1.0), has_failed(6), has_value(7, 3.0))
    assert learned(trials, retries=1) == []
    assert learned(numbered(*trials, runs(6, **{RETRY_OF: 1})), retries=1) == [("RUNNING", None, 0.9)]
    assert learned(numbered(*trials, has_value(6, 5.0, **{RETRY_OF: 1})), retries=1) == [("COMPLETE", 3.0, 0.9)]


def test_of_a_configuration_whose_seeds_were_not_all_queued_nothing_is_told():
    assert learned(numbered(has_value(5, 1.0), has_value(6, 3.0))) == []


def test_a_configuration_that_is_drawn_again_on_other_seeds_is_told_again():
    again = [has_value(8, 4.0, seeds=(8, 9)), has_value(9, 6.0, seeds=(8, 9))]
    assert learned(numbered(has_value(5, 1.0, seeds=(5, 6)), has_value(6, 3.0, seeds=(5, 6)), *again)) == [
        ("COMPLETE", 2.0, 0.9),
        ("COMPLETE", 5.0, 0.9),
    ]


def at_rung(x, *values, state=TrialState.WAITING, passed=0, value=None, status="paused"):
    """A trial with these values at the evaluations 1, 2, ..."""
    attributes = {STATUS: status, ORIGIN: "proposed", PROMOTED: passed}
    return create_trial(
        state=state,
        value=value,
        params={"x": x},
        distributions={"x": UNIT},
        intermediate_values=dict(enumerate(values, start=1)),
        user_attrs=attributes,
    )


def learned_at_rungs(trials, direction=StudyDirection.MAXIMIZE):
    sign = 1 if direction == StudyDirection.MAXIMIZE else -1
    return learned(numbered(*trials), direction=direction, rungs=Rungs((1, 2), 4, 3, sign))


def test_with_a_scheduler_a_configuration_is_told_from_its_first_rung_on_with_its_best_value_so_far():
    running = at_rung(0.9, 7.0, 6.0, state=TrialState.RUNNING, passed=1)
    young = at_rung(0.8, state=TrialState.RUNNING)
    assert learned_at_rungs([at_rung(0.1, 1.0), at_rung(0.2, 2.0, 3.0, passed=1), running, young]) == [
        ("COMPLETE", 1.0, 0.1),
        ("COMPLETE", 3.0, 0.2),
        ("COMPLETE", 7.0, 0.9),
        ("RUNNING", None, 0.8),
    ]


def test_where_less_is_better_the_best_value_so_far_is_the_least_and_a_lost_trial_has_the_most():
    lost = at_rung(0.9, 0.5, state=TrialState.FAIL, passed=1, status="diverged")
    trials = [at_rung(0.1, 4.0), at_rung(0.2, 3.0, 5.0, passed=1), lost]
    told = learned_at_rungs(trials, direction=StudyDirection.MINIMIZE)
    assert told == [("COMPLETE", 4.0, 0.1), ("COMPLETE", 3.0, 0.2), ("COMPLETE", 4.0, 0.9)]


def test_a_trial_that_runs_beyond_its_rung_is_told_with_the_best_of_all_its_values():
    assert learned_at_rungs([at_rung(0.1, 1.0, 2.0, 7.0, state=TrialState.RUNNING, passed=2)]) == [
        ("COMPLETE", 7.0, 0.1)
    ]


def test_with_a_scheduler_a_configuration_on_three_seeds_is_told_with_its_first_and_then_those_that_have_ended():
    first = {"values": {1: 20.0, 2: 21.0}, PROMOTED: 2}
    ended = has_value(5, 40.0, **first)
    assert learned_at_rungs([runs(5, **first), waits(6), waits(7)]) == [("COMPLETE", 21.0, 0.9)]
    assert learned_at_rungs([ended, runs(6), waits(7)]) == [("COMPLETE", 40.0, 0.9)]
    assert learned_at_rungs([ended, has_value(6, 50.0), runs(7)]) == [("COMPLETE", 45.0, 0.9)]
    assert learned_at_rungs([ended, has_value(6, 50.0), has_value(7, 0.0)]) == [("COMPLETE", 30.0, 0.9)]


def test_with_a_scheduler_a_completed_trial_is_told_with_its_final_value():
    whole = at_rung(0.9, 7.0, 6.0, state=TrialState.COMPLETE, passed=2, value=5.0, status="completed")
    assert learned_at_rungs([at_rung(0.1, 1.0), whole]) == [("COMPLETE", 1.0, 0.1), ("COMPLETE", 5.0, 0.9)]


def test_with_a_scheduler_a_lost_trial_is_told_as_the_worst_value_at_the_rung():
    lost = at_rung(0.9, 5.0, state=TrialState.FAIL, passed=1, status="diverged")
    unobserved = at_rung(0.8, -float("inf"))
    assert learned_at_rungs([at_rung(0.1, 1.0), at_rung(0.2, 2.0), lost, unobserved])[2:] == [
        ("COMPLETE", 1.0, 0.9),
        ("COMPLETE", 1.0, 0.8),
    ]


def test_a_trial_that_diverges_after_its_rung_is_told_as_lost_and_no_longer_with_its_value_there():
    assert learned_at_rungs([at_rung(0.1, 1.0), at_rung(0.2, 9.0, state=TrialState.RUNNING, passed=1)]) == [
        ("COMPLETE", 1.0, 0.1),
        ("COMPLETE", 9.0, 0.2),
    ]
    assert learned_at_rungs(
        [at_rung(0.1, 1.0), at_rung(0.2, 9.0, state=TrialState.FAIL, passed=1, status="diverged")]
    ) == [("COMPLETE", 1.0, 0.1), ("COMPLETE", 1.0, 0.2)]


def test_the_early_value_of_a_trial_that_an_older_version_pruned_is_not_told():
    pruned = create_trial(
        state=TrialState.PRUNED,
        params={"x": 0.5},
        distributions={"x": UNIT},
        intermediate_values={1: 7.0},
        user_attrs={STATUS: "pruned"},
    )
    assert learned(numbered(completed(1.0, 0.1), pruned)) == [("COMPLETE", 1.0, 0.1)]
