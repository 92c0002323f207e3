"""Which trials of a study count, and which are owed another attempt."""

import warnings

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial

from vbot_train.search.space.sampler_study import build_sampler_study
from vbot_train.study.accounting import TrialCounts, identify, identify_configuration, read_params
from vbot_train.study.attributes import LIVES, ORIGIN, RETRY_OF, SEED, SEEDS, STATUS, WORKER

UNIT = FloatDistribution(0, 1)


def ended(status, x=0.5, **attributes):
    """A trial of this status, at this point."""
    state = {"completed": TrialState.COMPLETE, "pruned": TrialState.PRUNED}.get(status, TrialState.FAIL)
    value = 1.0 if state == TrialState.COMPLETE else None
    attributes[STATUS] = status
    return create_trial(state=state, value=value, params={"x": x}, distributions={"x": UNIT}, user_attrs=attributes)


def running(**attributes):
    attributes[WORKER] = "a worker"
    return create_trial(state=TrialState.RUNNING, params={"x": 0.5}, distributions={"x": UNIT}, user_attrs=attributes)


def waiting(x=0.5, **attributes):
    attributes[ORIGIN] = "proposed"
    return create_trial(state=TrialState.WAITING, params={"x": x}, distributions={"x": UNIT}, user_attrs=attributes)


def interrupted(**attributes):
    """A trial that waits to be continued."""
    return waiting(**{STATUS: "interrupted"}, **attributes)


def killed(status="failed", **attributes):
    """A trial that ended so, and whose last life ended by being killed."""
    life = {"start": "2026-01-01T00:00:00+00:00", "end": "2026-01-01T00:01:00+00:00", "env_steps": 0, "host": "here"}
    return ended(status, **{LIVES: [life, {**life, "killed": True}]}, **attributes)


def retry(number):
    """Attributes of a trial that repeats this one."""
    return {RETRY_OF: number}


def counts(*trials, retries=1):
    for number, trial in enumerate(trials):
        trial.number = number
    return TrialCounts(trials, retries)


def numbers(trials):
    return [trial.number for trial in trials]


def test_a_waiting_trial_is_promised_but_not_started():
    books = counts(ended("completed"), running(), waiting())
    assert (books.promised, books.started) == (3, 2)
    assert numbers(books.waiting) == [2]


def test_what_is_owed_is_promised_but_not_started():
    books = counts(interrupted(), ended("failed"), ended("completed"))
    assert (books.promised, books.started) == (3, 1)
    assert (numbers(books.interrupted), numbers(books.crashed), books.waiting) == ([0], [1], [])


def test_a_trial_that_was_trained_again_does_not_count_its_retry_does():
    books = counts(ended("failed"), ended("failed"), ended("completed", **retry(0)), waiting(**retry(1)))
    assert numbers(books.counted) == [2, 3]
    assert books.crashed == []


def test_a_trial_that_is_given_up_because_it_was_killed_is_not_owed():
    books = counts(killed(), retries=9)
    assert (numbers(books.given_up), books.crashed, books.started) == ([0], [], 1)


def test_a_trial_that_was_killed_and_then_ended_by_itself_is_not_given_up():
    books = counts(killed("completed"))
    assert (books.given_up, books.started) == ([], 1)


@pytest.mark.parametrize(("retries", "crashes", "owed"), [(0, 1, 0), (1, 1, 1), (1, 2, 0), (2, 2, 1), (2, 3, 0)])
def test_a_crashed_trial_is_owed_as_often_as_retries_says(retries, crashes, owed):
    again = [ended("failed", **retry(number)) for number in range(crashes - 1)]
    books = counts(ended("failed"), *again, retries=retries)
    assert len(books.crashed) == owed
    assert books.promised == 1


@pytest.mark.parametrize("status", ["completed", "pruned", "diverged", "timeout"])
def test_what_would_end_the_same_way_is_never_owed(status):
    books = counts(ended(status), retries=9)
    assert (books.started, books.interrupted, books.crashed) == (1, [], [])


@pytest.mark.parametrize("status", ["interrupted", "failed"])
def test_a_trial_is_not_owed_before_it_has_ended(status):
    books = counts(running(**{STATUS: status}))  # its worker was about to tell
    assert (books.started, books.interrupted, books.crashed) == (1, [], [])


def test_retries_are_no_proposals():
    assert counts(ended("completed"), ended("failed"), waiting(**retry(1)), waiting()).proposals == 3


def test_a_configuration_is_taken_as_often_as_it_counts():
    books = counts(
        ended("completed", 0.25),
        ended("failed", 0.25),
        running(),
        waiting(0.25),
        ended("interrupted", 0.75),
        waiting(0.25, **retry(1)),
    )
    quarter, half, three_quarters = (identify({"x": x}) for x in (0.25, 0.5, 0.75))
    assert {key: len(seeds) for key, seeds in books.taken.items()} == {quarter: 3, half: 1, three_quarters: 1}


def test_a_configuration_is_taken_with_the_seeds_of_its_trials():
    books = counts(ended("completed", 0.25, seed=42), ended("diverged", 0.25, seed=45))
    assert books.taken == {identify({"x": 0.25}): [42, 45]}


def on_seed(seed, seeds=(5, 6, 7)):
    """Attributes of the trial that trains a configuration on one of its seeds."""
    return {SEED: seed, SEEDS: list(seeds)}


def test_a_configuration_on_several_seeds_is_one_proposal():
    three = [ended("completed", 0.25, **on_seed(seed)) for seed in (5, 6, 7)]
    assert counts(*three).proposals == 1
    single = ended("completed", 0.5, **{SEED: 5})
    assert counts(*three, single, waiting(0.75, **on_seed(5))).proposals == 3


def test_a_seed_that_is_trained_again_is_no_proposal():
    crashed, repeated = ended("failed", **on_seed(5)), waiting(**on_seed(5), **retry(0))
    assert counts(crashed, waiting(**on_seed(6)), waiting(**on_seed(7)), repeated).proposals == 1


def test_a_configuration_that_is_drawn_again_on_other_seeds_is_another_proposal():
    books = counts(*(ended("completed", **on_seed(seed, seeds)) for seeds in ((5, 6), (7, 8)) for seed in seeds))
    assert books.proposals == 2


def test_each_seed_of_a_configuration_counts_as_a_trial():
    books = counts(ended("completed", **on_seed(5)), running(**on_seed(6)), waiting(**on_seed(7)))
    assert (books.promised, books.started) == (3, 2)
    assert books.taken == {identify({"x": 0.5}): [5, 6, 7]}


def test_seeds_that_were_never_queued_are_named_with_a_trial_of_their_configuration():
    """The worker that queued the second configuration died after its first seed; of the third, one seed is missing."""
    whole = [ended("completed", 0.25, **on_seed(seed)) for seed in (5, 6, 7)]
    books = counts(*whole, waiting(0.5, **on_seed(5)), ended("failed", 0.75, **on_seed(5)), waiting(0.75, **on_seed(7)))
    missing = [(read_params(trial), seed) for trial, seed in books.incomplete]
    assert missing == [({"x": 0.5}, 6), ({"x": 0.5}, 7), ({"x": 0.75}, 6)]


def test_a_seed_that_is_trained_again_is_not_missing():
    again = ended("completed", **on_seed(6, (5, 6)), **retry(1))
    books = counts(ended("completed", **on_seed(5, (5, 6))), ended("failed", **on_seed(6, (5, 6))), again)
    assert books.incomplete == []


def test_a_configuration_on_a_single_seed_is_never_incomplete():
    assert counts(ended("completed", **{SEED: 5}), ended("completed")).incomplete == []


def test_trials_are_of_one_configuration_if_they_have_the_parameters_and_the_seeds_in_common():
    first, second = (ended("completed", **on_seed(seed)) for seed in (5, 6))
    assert identify_configuration(first) == identify_configuration(second)
    assert identify_configuration(waiting(**on_seed(7))) == identify_configuration(first)
    assert identify_configuration(ended("completed", 0.75, **on_seed(5))) != identify_configuration(first)
    assert identify_configuration(ended("completed", **on_seed(8, (8, 9, 10)))) != identify_configuration(first)
    assert identify_configuration(ended("completed", **{SEED: 5})) == (identify({"x": 0.5}), (5,))


SHARE = FloatDistribution(0.9, 0.95, step=0.05)
COMPUTED = 0.9 + 0.05  # 0.9500000000000001: earlier versions trained it, and Optuna refuses it


def by_an_earlier_version():
    """A study in which a trial holds a computed step, and another waits with it."""
    study = optuna.create_study(direction="maximize")
    for _ in range(2):
        study.enqueue_trial({"x": COMPUTED})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # out of range, says Optuna
        trial = study.ask({"x": SHARE})
        trial.set_user_attr(STATUS, "completed")
        study.tell(trial, 1.0)
    assert study.trials[0].params == {"x": COMPUTED}
    return study.trials


def test_a_computed_step_is_the_same_configuration_as_the_written_one():
    trials = by_an_earlier_version()
    assert read_params(trials[0]) == {"x": 0.95}
    assert list(TrialCounts(trials, 0).taken) == [identify({"x": 0.95})]
    assert identify({"x": 1e-3}) != identify({"x": 1.0000001e-3})


def test_optuna_accepts_the_trials_of_an_earlier_version():
    trials = TrialCounts(by_an_earlier_version(), 0).trials
    optuna.create_study(direction="maximize").add_trials(trials)
    sampler = optuna.samplers.RandomSampler()
    study = build_sampler_study(TrialCounts(trials, 0), StudyDirection.MAXIMIZE, sampler)
    assert [(trial.state, trial.params) for trial in study.trials] == [(TrialState.COMPLETE, {"x": 0.95})]


def test_the_order_of_keys_does_not_make_another_point():
    assert identify({"x": 1, "y": "a"}) == identify({"y": "a", "x": 1.0})
    assert identify({"x": 1, "y": "a"}) != identify({"x": 1, "y": "b"})


def test_what_no_search_began_or_ended_does_not_count():
    """A script added one with a value, left one running, and told the end of one that waited in the queue."""
    added = create_trial(value=99.0, params={"x": 0.5}, distributions={"x": UNIT})
    left = create_trial(state=TrialState.RUNNING, params={"x": 0.5}, distributions={"x": UNIT})
    told = create_trial(value=99.0, params={"x": 0.5}, distributions={"x": UNIT}, user_attrs={ORIGIN: "proposed"})
    books = counts(ended("failed"), added, left, told, ended("completed", **retry(0)))
    assert numbers(books.trials) == [0, 4] and numbers(books.counted) == [4]
    assert (books.promised, books.started, books.proposals) == (1, 1, 1)


def test_a_trial_whose_files_are_gone_is_not_taken():
    trials = [ended("completed", 0.25), ended("failed", 0.75), ended("completed", 0.75, **retry(1))]
    for number, trial in enumerate(trials):
        trial.number = number
    assert TrialCounts(trials, 1, but=[2]).taken.keys() == {identify({"x": 0.25})}
