"""A search ends within its hours, and says how many of its trials will fit."""

import pytest
from workers import at_random


def test_hosts_in_two_time_zones_spend_one_budget(join, zone):
    zone("America/New_York")
    far = join(budget_hours=1)
    queued = far.queue.take()
    zone("Asia/Tokyo")
    near = join(budget_hours=1)
    assert near.queue.compute_left_s() == pytest.approx(3600, abs=5)
    far.end(queued, lived_s=600)
    assert near.queue.compute_left_s() == pytest.approx(3000, abs=5)
    near.end(near.queue.take(), lived_s=900)  # from the same moment on
    assert near.queue.compute_left_s() == pytest.approx(2700, abs=5)


def test_a_trial_that_cannot_finish_within_the_budget_is_not_started(join):
    worker = join(budget_hours=1)
    worker.end(worker.queue.take(), lived_s=1700)  # 1900 s are left
    second = worker.queue.take()
    assert second is not None and not worker.queue.out_of_time
    worker.end(second, lived_s=1900)  # from the same moment on: 1700 s are left, and 1800 s the median
    assert worker.queue.compute_left_s() == pytest.approx(1700, abs=5)
    assert worker.queue.take() is None and worker.queue.out_of_time
    assert len(join(budget_hours=2).work()) == 2  # with a larger budget it goes on


def test_the_first_trial_is_started_within_any_budget_that_is_left(join):
    assert join(budget_hours=1e-3).queue.take() is not None


def test_without_a_budget_there_is_no_end_of_time(join):
    worker = join()
    worker.end(worker.queue.take(), lived_s=1e9)
    assert worker.queue.compute_left_s() is None and worker.queue.forecast() is None
    assert worker.queue.take() is not None


@pytest.mark.parametrize(
    ("total", "workers", "others", "fit"),
    [
        (20, 1, 0, 6),  # 1 has ended; into 3000 s fit the running one, which has just begun, and 4 more
        (4, 1, 0, 4),
        (20, 2, 0, 11),  # the worker that is free trains 5
        (20, 1, 1, 11),  # 1 has ended, 2 run, then 4 in this worker and 4 in the other
    ],
)
def test_the_first_trials_tell_how_many_will_fit(join, line, total, workers, others, fit):
    worker = join(at_random(line), space=line, total=total, workers=workers, budget_hours=1)
    assert worker.queue.forecast() is None  # nothing is known yet
    worker.end(worker.queue.take(), lived_s=600)
    for _ in range(1 + others):
        worker.queue.take()
    assert worker.queue.forecast() == fit
