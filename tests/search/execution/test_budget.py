"""The wall clock of a study, by hand."""

from datetime import UTC, datetime

import pytest
from optuna.trial import TrialState, create_trial
from standing import life

from vbot_train.search.execution.budget import compute_spent_s, count_fitting, estimate_trial_s
from vbot_train.study.accounting import STATUS
from vbot_train.study.lives import LIVES, WALL_TIME_S


def at(clock, day="2026-05-04"):
    return datetime.fromisoformat(f"{day} {clock}+00:00")


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


def older(start, wall_time_s=None, status=None):
    """A trial of an older study: its start is local time, as Optuna stamps it; it runs, or lasted so long."""
    if wall_time_s is None:
        trial = create_trial(state=TrialState.RUNNING)
    else:
        trial = create_trial(state=TrialState.FAIL, user_attrs={STATUS: status, WALL_TIME_S: wall_time_s})
    trial.datetime_start = datetime.fromisoformat(start)
    return trial


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
    assert compute_spent_s([lived(*lives)], now=at("20:00")) == estimate_trial_s([lived(*lives)]) == 900
    runs = create_trial(state=TrialState.RUNNING, user_attrs={LIVES: [*lives, life(at("19:30"))]})
    assert compute_spent_s([runs], now=at("20:00")) == 900 + 1800


def test_an_hour_that_the_clock_goes_back_is_spent(zone):
    zone("Europe/Berlin")  # 2026-10-25, 01:00 UTC: from 03:00 back to 02:00
    now = at("01:30", "2026-10-25")
    begun = datetime.fromisoformat("2026-10-25 01:30").astimezone(UTC)
    assert begun == at("23:30", "2026-10-24") and now.astimezone().replace(tzinfo=None) == datetime(2026, 10, 25, 2, 30)
    assert compute_spent_s([older("2026-10-25 01:30")], now) == 7200  # not the hour that the clocks show
    assert compute_spent_s([older("2026-10-25 01:30", 5400.0, "failed")], now) == 5400


def test_an_hour_that_the_clock_goes_forward_is_not_spent(zone):
    zone("Europe/Berlin")  # 2026-03-29, 01:00 UTC: from 02:00 to 03:00
    assert compute_spent_s([older("2026-03-29 01:30")], at("01:30", "2026-03-29")) == 3600


def test_a_trial_is_expected_to_take_the_median_of_the_completed_ones():
    assert estimate_trial_s([lasted(90), lasted(10), lasted(20)]) == 20
    assert estimate_trial_s([lasted(10), lasted(20)]) == 15
    others = [lasted(1, status=status) for status in ("diverged", "pruned", "failed", "timeout", "interrupted")]
    assert estimate_trial_s([*others, lasted(10), running_since("12:00")]) == 10


def test_nothing_is_expected_before_a_trial_was_completed():
    assert estimate_trial_s([running_since("12:00"), lasted(5, status="diverged")]) is None


@pytest.mark.parametrize(
    ("done", "running", "left_s", "workers", "total"),
    [
        (2, 0, 100, 1, 4),  # 2 of 40 s
        (2, 0, 100, 3, 8),  # 2 each
        (2, 2, 100, 2, 8),  # the running ones need 20 s more, then 2 each in 80 s
        (2, 2, 99, 2, 6),  # then 1 each in 79 s
        (2, 2, 20, 2, 4),  # only the running ones
        (2, 2, 19, 2, 2),  # not even those
        (5, 0, 39, 4, 5),
        (5, 0, 0, 4, 5),
        (5, 3, -10, 4, 5),
    ],
)
def test_so_many_trials_of_40_s_will_have_ended(done, running, left_s, workers, total):
    assert count_fitting(done=done, running=running, left_s=left_s, trial_s=40, workers=workers) == total


def test_a_result_that_was_taken_over_does_not_say_how_long_a_trial_takes():
    assert estimate_trial_s([lasted(0.0), lasted(0.0), lasted(30.0)]) == 30.0
    assert estimate_trial_s([lasted(0.0)]) is None
