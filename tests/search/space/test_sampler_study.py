"""A sampler learns from what was completed or pruned, runs or is lost, and from nothing else."""

import pytest
from optuna.distributions import FloatDistribution
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial

from vbot_train.search.space.sampler_study import SamplerStudy
from vbot_train.study.accounting import CAUSE, RETRY_OF, STATUS, TrialCounts

UNIT = FloatDistribution(0, 1)


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
    attributes = {"loop": "a worker"}
    return create_trial(state=TrialState.RUNNING, params={"x": x}, distributions={"x": UNIT}, user_attrs=attributes)


def follow(mirror, trials, retries=0):
    mirror.follow(trials, TrialCounts(trials, retries).lost)


def learned(mirror):
    """What a sampler learns from, as (state, value, x)."""
    trials = mirror.study.get_trials(deepcopy=False)
    known = [trial for trial in trials if trial.state != TrialState.FAIL]
    return [(trial.state.name, trial.values and trial.values[0], trial.params["x"]) for trial in known]


@pytest.mark.parametrize(("direction", "worst"), [(StudyDirection.MAXIMIZE, 1.0), (StudyDirection.MINIMIZE, 3.0)])
@pytest.mark.parametrize("status", ["diverged", "timeout", "failed", "completed"])  # the last without a value
def test_a_lost_trial_is_told_as_the_worst_value_seen(direction, worst, status):
    mirror = SamplerStudy(direction)
    follow(mirror, numbered(completed(2.0), completed(1.0), completed(3.0), failed(status, 0.9)))
    assert learned(mirror)[3:] == [("COMPLETE", worst, 0.9)]


def test_a_trial_that_crashes_is_told_once_its_retries_are_used_up():
    mirror = SamplerStudy(StudyDirection.MAXIMIZE)
    crashes = [failed("failed", 0.9), failed("failed", 0.9, **{RETRY_OF: 1})]
    trials = numbered(completed(1.0), *crashes)
    follow(mirror, trials[:2], retries=1)
    assert learned(mirror) == [("COMPLETE", 1.0, 0.5)]
    follow(mirror, trials, retries=1)
    assert learned(mirror) == [("COMPLETE", 1.0, 0.5), ("COMPLETE", 1.0, 0.9)]


OUT_OF_MEMORY = {CAUSE: "the trial's process was killed (signal 9); out of memory?"}
FULL_DISK = {CAUSE: "OSError: [Errno 28] No space left on device"}
INTERRUPTED = [failed("interrupted"), failed("interrupted", **{RETRY_OF: 1})]  # by an earlier version


@pytest.mark.parametrize("ends", [[failed("failed", **OUT_OF_MEMORY)], [failed("failed", **FULL_DISK)], INTERRUPTED])
def test_of_a_trial_that_is_given_up_for_a_cause_outside_of_it_nothing_is_told(ends):
    mirror = SamplerStudy(StudyDirection.MAXIMIZE)
    follow(mirror, numbered(completed(1.0), *ends))
    assert learned(mirror) == [("COMPLETE", 1.0, 0.5)]


def test_a_diverged_trial_waits_until_there_is_a_value_and_is_told_once_as_the_worst_so_far():
    mirror = SamplerStudy(StudyDirection.MAXIMIZE)
    trials = numbered(failed("diverged", 0.9), completed(2.0, 0.1), completed(1.0, 0.2))
    follow(mirror, trials[:1])
    assert learned(mirror) == []
    follow(mirror, trials[:2])
    assert learned(mirror) == [("COMPLETE", 2.0, 0.9), ("COMPLETE", 2.0, 0.1)]
    follow(mirror, trials)
    follow(mirror, trials)
    assert learned(mirror) == [("COMPLETE", 1.0, 0.9), ("COMPLETE", 2.0, 0.1), ("COMPLETE", 1.0, 0.2)]


def test_nothing_is_learned_from_what_is_trained_again_or_waits():
    mirror = SamplerStudy(StudyDirection.MAXIMIZE)
    waiting = create_trial(state=TrialState.WAITING, system_attrs={"fixed_params": {"x": 0.5}})
    follow(mirror, numbered(completed(1.0), failed("failed"), failed("interrupted"), waiting), retries=1)
    assert learned(mirror) == [("COMPLETE", 1.0, 0.5)]


def test_a_running_trial_is_known_as_running_until_it_ends():
    mirror = SamplerStudy(StudyDirection.MAXIMIZE)
    follow(mirror, numbered(running(0.1), running(0.2), running(0.3)))
    assert learned(mirror) == [("RUNNING", None, 0.1), ("RUNNING", None, 0.2), ("RUNNING", None, 0.3)]
    follow(mirror, numbered(running(0.1), completed(5.0, 0.2), failed("interrupted", 0.3)))
    assert learned(mirror) == [("RUNNING", None, 0.1), ("COMPLETE", 5.0, 0.2)]
    follow(mirror, numbered(failed("diverged", 0.1), completed(5.0, 0.2), failed("interrupted", 0.3)))
    assert learned(mirror) == [("COMPLETE", 5.0, 0.2), ("COMPLETE", 5.0, 0.1)]


def test_a_running_trial_that_diverges_first_of_all_leaves_no_trace_until_there_is_a_value():
    mirror = SamplerStudy(StudyDirection.MAXIMIZE)
    follow(mirror, numbered(running(0.1)))
    follow(mirror, numbered(failed("diverged", 0.1)))
    follow(mirror, numbered(failed("diverged", 0.1)))
    assert learned(mirror) == []
    follow(mirror, numbered(failed("diverged", 0.1), completed(4.0, 0.2)))
    follow(mirror, numbered(failed("diverged", 0.1), completed(4.0, 0.2)))
    assert learned(mirror) == [("COMPLETE", 4.0, 0.1), ("COMPLETE", 4.0, 0.2)]


def test_a_pruned_trial_keeps_its_curve_and_is_no_value_to_be_worse_than():
    values = {1: 0.5, 2: -7.0}
    pruned = create_trial(
        state=TrialState.PRUNED,
        params={"x": 0.5},
        distributions={"x": UNIT},
        intermediate_values=values,
        user_attrs={STATUS: "pruned"},
    )
    mirror = SamplerStudy(StudyDirection.MAXIMIZE)
    follow(mirror, numbered(completed(1.0), pruned, failed("diverged", 0.9)))
    assert mirror.study.trials[1].intermediate_values == values
    assert learned(mirror)[2] == ("COMPLETE", 1.0, 0.9)
