"""How long trials take, by hand."""

from datetime import datetime

import pytest
from optuna.trial import TrialState, create_trial
from standing import life

from vbot_train.study.attributes import LIVES, STATUS
from vbot_train.study.timing import (
    compute_reserve_s,
    compute_spent_s,
    estimate_training_s,
    estimate_trial_s,
    forecast_ends_s,
)


def at(clock):
    return datetime.fromisoformat(f"2026-05-04 {clock}+00:00")


def lasted(lived_s, start="12:00", status="completed"):
    """A trial that ended after so many seconds."""
    return lived(life(at(start), lived_s), status=status)


def lived(*lives, status="completed"):
    """A trial that ended after so many lives."""
    state, value = (TrialState.COMPLETE, 1.0) if status == "completed" else (TrialState.FAIL, None)
    return create_trial(state=state, value=value, user_attrs={STATUS: status, LIVES: list(lives)})


def waiting(*lives):
    """A trial that was interrupted, and waits to be continued."""
    return create_trial(state=TrialState.WAITING, user_attrs={STATUS: "interrupted", LIVES: list(lives)})


def running_since(start):
    return create_trial(state=TrialState.RUNNING, user_attrs={LIVES: [life(at(start))]})


@pytest.mark.parametrize(
    ("trials", "seconds"),
    [
        ([], 0),
        ([lasted(600, "12:00")], 600),
        ([lasted(600, "12:00"), lasted(600, "15:00")], 1200),  # hours between two sessions are not spent
        ([lasted(600, "12:00"), lasted(600, "12:05")], 900),  # 12:00 to 12:15
        ([lasted(3600, "12:00"), lasted(60, "12:10"), lasted(60, "12:59:30")], 3630),  # the last one ends 13:00:30
        ([lasted(60, "12:10"), lasted(3600, "12:00")], 3600),
        ([lasted(600, "12:00"), lasted(600, "12:10")], 1200),
        ([lasted(600, "12:00"), lasted(600, "12:00")], 600),
        ([running_since("19:30")], 1800),
        ([running_since("19:30"), lasted(60, "19:40"), running_since("19:45")], 1800),
        ([lasted(600, "12:00", status="failed"), lasted(600, "12:05", status="interrupted")], 900),
        ([create_trial(state=TrialState.WAITING)], 0),
        ([waiting(life(at("12:00"), 600), life(at("15:00"), 60))], 660),  # interrupted twice, to be continued
    ],
)
def test_time_is_spent_while_at_least_one_trial_runs(trials, seconds):
    assert compute_spent_s(trials, now=at("20:00")) == seconds


def test_a_trial_that_ended_without_a_time_took_none():
    trial = create_trial(state=TrialState.FAIL)
    trial.datetime_start = datetime(2026, 5, 4, 12)
    assert compute_spent_s([trial], now=at("20:00")) == 0
    assert compute_spent_s([lived(life(at("12:00")))], now=at("20:00")) == 0


def test_the_pause_between_two_lives_of_a_trial_is_not_spent():
    lives = [life(at("12:00"), 600), life(at("15:00"), 300)]
    assert compute_spent_s([lived(*lives)], now=at("20:00")) == estimate_training_s([lived(*lives)]) == 900
    runs = create_trial(state=TrialState.RUNNING, user_attrs={LIVES: [*lives, life(at("19:30"))]})
    assert compute_spent_s([runs], now=at("20:00")) == 900 + 1800


def test_a_training_is_expected_to_take_the_median_of_the_completed_ones():
    assert estimate_training_s([lasted(90), lasted(10), lasted(20)]) == 20
    assert estimate_training_s([lasted(10), lasted(20)]) == 15
    others = [lasted(1, status=status) for status in ("diverged", "pruned", "failed", "timeout", "interrupted")]
    assert estimate_training_s([*others, lasted(10), running_since("12:00")]) == 10


def test_before_a_trial_was_completed_the_speed_of_paused_ones_tells_how_long_a_training_takes():
    paused = create_trial(
        state=TrialState.WAITING, user_attrs={STATUS: "paused", LIVES: [life(at("12:00"), 20) | {"env_steps": 250}]}
    )
    assert estimate_training_s([paused, paused], env_steps=1000) == 80
    assert estimate_training_s([paused]) is None
    assert estimate_training_s([paused, lasted(10)], env_steps=1000) == 10


def test_nothing_is_expected_before_a_trial_was_completed():
    assert estimate_training_s([running_since("12:00"), lasted(5, status="diverged")]) is None


def test_a_trial_takes_as_long_as_those_that_trained_and_ended_by_themselves():
    by_themselves = [lasted(100), lasted(20, status="diverged"), lasted(60, status="timeout")]
    others = [lasted(0), lasted(1, status="failed"), lasted(1, status="interrupted")]  # the first was taken over
    assert estimate_trial_s([*by_themselves, *others]) == 60
    assert estimate_trial_s(others) is None


def test_a_result_that_was_taken_over_does_not_say_how_long_a_training_takes():
    assert estimate_training_s([lasted(0.0), lasted(0.0), lasted(30.0)]) == 30.0
    assert estimate_training_s([lasted(0.0)]) is None


@pytest.mark.parametrize(
    ("rest_s", "waiting", "workers", "ends_s"),
    [
        ([], 3, 2, [10, 10, 20]),
        ([], 3, 3, [10, 10, 10]),
        ([5], 1, 2, [5, 10]),  # the free worker begins at once
        ([5, 7], 2, 2, [5, 7, 15, 17]),
        ([5, 7], 0, 2, [5, 7]),
        ([], 0, 1, []),
    ],
)
def test_each_free_worker_takes_the_next_trial_of_10_s(rest_s, waiting, workers, ends_s):
    assert forecast_ends_s(rest_s, waiting, 10.0, workers) == ends_s


@pytest.mark.parametrize(
    ("trainings", "workers", "reserve_s"), [(0, 2, 0), (2, 2, 10), (3, 2, 20), (3, 1, 30), (9, 1, 50)]
)
def test_of_100_s_the_later_stages_get_what_they_need_and_half_at_most(trainings, workers, reserve_s):
    assert compute_reserve_s(trainings, 10.0, workers, 100.0) == reserve_s
