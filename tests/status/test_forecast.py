"""When a study will be done, by hand."""

from datetime import UTC, datetime, timedelta

import pytest
from standing import ended, life, number_trials, record_of, running
from studies import METRIC, study

from vbot_train.analysis.verdict import Verdict
from vbot_train.status.forecast import (
    count_active_workers,
    count_fitting_trials,
    estimate_duration_s,
    forecast_remaining_s,
)
from vbot_train.status.observer import Progress, Stage, Training
from vbot_train.status.render import describe_end
from vbot_train.study.accounting import TrialCounts
from vbot_train.study.attributes import LIVES

NOW = datetime(2026, 5, 4, 20, 0, tzinfo=UTC)


def at(clock):
    return datetime.fromisoformat(f"2026-05-04 {clock}+00:00")


def training(number, age_s, share, silent_s=0.0):
    return Training(number, {}, age_s, silent_s, total_env_steps=1000, env_steps=int(1000 * share))


def stage(trials, total, trainings=(), name="trials"):
    return Stage(name, number_trials(list(trials)), TrialCounts(trials, 0), total, list(trainings))


def progress(*stages, **record):
    return Progress(record_of(**record), list(stages), NOW, Verdict(study([]), METRIC))


def two_and_two(total, silent_s=0.0):
    """Two trials have ended, after 150 s on average; 40 % and 2 % of two more are done."""
    trials = [ended(100.0, start=at("19:50")), ended(200.0, start=at("19:50")), running(60, now=NOW)]
    return stage([*trials, running(30, now=NOW)], total, [training(2, 60, 0.4), training(3, 30, 0.02, silent_s)])


def test_what_is_left_of_a_search_at_two_trials_at_a_time():
    # 60 s / 0.4 = 150 s: 90 s to go. 150 - 30 = 120 s to go. Then one each: 240 s and 270 s.
    assert forecast_remaining_s(progress(two_and_two(total=6))) == pytest.approx(270)


def test_a_silent_trial_is_trained_again_from_its_start_and_its_worker_is_gone():
    # One worker: 90 s to go, then three of 150 s.
    assert forecast_remaining_s(progress(two_and_two(total=6, silent_s=600))) == pytest.approx(540)


def test_the_later_stages_follow_at_the_pace_of_the_search_where_each_seed_is_a_trial():
    later = [stage([], 6, name="confirm"), stage([], 3, name="test")]
    # 270 s, then 3 rounds and 2 rounds of 150 s.
    assert forecast_remaining_s(progress(two_and_two(total=6), *later, seeds_per_configuration=2)) == pytest.approx(
        1020
    )


def test_a_later_stage_that_has_begun_has_a_pace_of_its_own():
    search = stage([ended(150.0, start=at("19:00"))], 1)
    confirm = stage([ended(40.0, start=at("19:10"))], 4, name="confirm")
    assert forecast_remaining_s(progress(search, confirm)) == pytest.approx(3 * 40)


@pytest.mark.parametrize(("share", "left_s"), [(0.04, None), (0.1, 540.0)])  # 60 s / 0.1 = 600 s
def test_before_the_first_trial_has_ended_the_pace_of_the_running_one_counts_once_it_has_one(share, left_s):
    search = stage([running(60, now=NOW)], 1, [training(0, 60, share)])
    assert forecast_remaining_s(progress(search)) == left_s


def test_a_study_that_is_over_takes_no_more_time_even_if_nothing_was_ever_trained():
    failed = ended(5.0, "failed", start=at("19:00"))
    assert forecast_remaining_s(progress(stage([failed], 1))) == 0.0


def test_as_many_trials_run_at_a_time_as_when_the_last_one_began():
    first, second = ended(600.0, start=at("19:00")), ended(600.0, start=at("19:05"))
    assert count_active_workers(progress(stage([first], 9))) == 1
    assert count_active_workers(progress(stage([first, second], 9))) == 2
    assert count_active_workers(progress(stage([first, ended(600.0, start=at("19:10"))], 9))) == 1
    assert count_active_workers(progress(stage([running(now=NOW), running(now=NOW)], 9))) == 2  # both have just begun
    assert count_active_workers(progress(stage([], 9))) == 1


def test_a_trial_that_was_put_off_took_as_long_as_its_lives_together():
    trial = ended(20.0, start=at("19:00"))
    trial.user_attrs[LIVES] = [life(at("18:00"), 40.0), life(at("19:00"), 20.0)]
    assert estimate_duration_s(stage([trial], 9)) == 60.0
    assert (
        count_active_workers(progress(stage([trial, ended(600.0, start=at("18:30"))], 9))) == 1
    )  # it was put off then


def test_when_it_will_be_done_is_told_in_the_time_of_the_clock_on_the_wall(zone):
    zone("Europe/Berlin")  # where at 01:00 UTC it is 03:00, and 02:00 again
    now = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    trials = [ended(3600.0, start=now - timedelta(hours=1)), running(0.0, now=now)]
    found = Progress(record_of(), [stage(trials, 2, [training(1, 0.0, 0.0)])], now, Verdict(study([]), METRIC))
    assert describe_end(found) == "ETA       about 60 min, at 02:30"


@pytest.mark.parametrize(
    ("confirm", "fit"),
    [
        (0, 8),  # half an hour is left: two trials more on each worker
        (2, 6),  # 900 s are kept for a training on each worker
        (9, 4),  # five rounds; but no more than half of the budget is kept
    ],
)
def test_so_many_trials_of_a_quarter_of_an_hour_fit_into_an_hour(confirm, fit):
    starts = [NOW - timedelta(minutes=minutes) for minutes in (30, 30, 15, 15)]
    search = stage([ended(900.0, start=start) for start in starts], 20)
    later = [stage([], confirm, name="confirm")] if confirm else []
    assert count_fitting_trials(progress(search, *later, budget_hours=1)) == fit


def test_that_all_trials_fit_goes_without_saying():
    search = stage([ended(900.0, start=NOW - timedelta(minutes=15))], 2)
    assert count_fitting_trials(progress(search, budget_hours=0.51)) is None  # 0.26 h are left, for one of 0.25 h
    assert count_fitting_trials(progress(search, budget_hours=0.49)) == 1
    assert count_fitting_trials(progress(search)) is None
