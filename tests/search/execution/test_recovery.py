"""What was interrupted is continued, what crashed is trained again, and no result is ever overwritten."""

import os
import sqlite3
import threading
import time

import pytest
from optuna.trial import TrialState
from sqlalchemy.exc import OperationalError
from workers import CELLS, METRIC, Same, begin, ended_process

from vbot_train.search.execution import trial_reporter
from vbot_train.search.execution.fallback import load_result_or_fallback
from vbot_train.search.space.initial_points import InitialPoint
from vbot_train.study.attributes import CAUSE, LIVES, ORIGIN, RETRY_OF, SEED, STATUS, WORKER
from vbot_train.study.lives import compute_runtime_s, end_life, read_lives
from vbot_train.training.result import FILE_NAME, TrialResult
from vbot_train.training.run_directory import LOCK, own_run_directory


def test_what_was_stopped_is_continued_before_new_cells_and_what_crashed_comes_after_them(join):
    worker = join(total=3)
    first = worker.queue.take()
    worker.end(first, "interrupted", cause="the search was stopped")
    assert (worker.attributes(0)[STATUS], worker.attributes(0)[CAUSE]) == ("interrupted", "the search was stopped")
    assert worker.trial(0).state == TrialState.WAITING
    again = worker.queue.take()
    assert (again.trial.number, again.candidate.params, again.directory) == (0, CELLS[0], first.directory)
    worker.end(again, "failed")
    assert worker.work() == [CELLS[1], CELLS[2], CELLS[0]]
    assert [worker.attributes(number).get(RETRY_OF) for number in range(4)] == [None, None, None, 0]


def test_of_several_that_were_stopped_each_is_continued_under_its_number_first_the_lowest(join):
    worker = join()
    queue = [worker.queue.take() for _ in range(3)]
    for queued in reversed(queue):
        worker.end(queued, "interrupted")
    again = [worker.queue.take() for _ in range(4)]
    assert [queued.trial.number for queued in again] == [0, 1, 2, 3]
    assert [queued.candidate.params for queued in again] == CELLS


def test_the_trial_of_a_worker_that_died_is_continued_under_its_number_however_often(join, tmp_path):
    for life in range(1, 5):
        gone = join()
        queued = gone.queue.take()
        begin(queued)
        assert (queued.trial.number, queued.candidate.params, queued.directory) == (
            0,
            CELLS[0],
            tmp_path / "trials/000",
        )
        attributes = gone.attributes(0)
        assert attributes.keys() - {STATUS, CAUSE} == {ORIGIN, SEED, WORKER, LIVES}
        assert (attributes[WORKER], len(read_lives(gone.trial(0)))) == (gone.worker_lock.name, life)
        gone.worker_lock.leave()
    last = join()
    assert last.work() == CELLS
    assert last.queue.list_given_up() == [] and last.queue.count_done() == 4


def test_a_trial_that_is_killed_twice_while_its_worker_lives_is_given_up_unless_its_state_has_advanced(join):
    worker = join(total=1, retries=9)
    for has_advanced in (False, True, True, False):
        queued = worker.queue.take()
        result = worker.queue.reporter.end(queued, ended_process(was_killed=True, has_advanced=has_advanced))
        assert (result is None) == (has_advanced or len(read_lives(worker.trial(0))) == 1)
    assert (result.status, result.wall_time_s) == ("failed", 4.0)
    assert result.cause.endswith("killed (signal 9); out of memory?; twice, without a new state in between")
    assert worker.trial(0).state == TrialState.FAIL and worker.queue.list_given_up() == [0]
    assert worker.queue.take() is None


@pytest.mark.parametrize("between", ["interrupted", "worker died"])
@pytest.mark.parametrize(("state", "is_given_up"), [(0, True), (100, False)])
def test_a_life_that_ends_otherwise_between_two_kills_does_not_count_unless_it_advanced(
    join, between, state, is_given_up
):
    def take(from_env_steps):
        queued = worker.queue.take()
        worker.queue.reporter.note_start(queued, from_env_steps)
        return queued

    worker = join(total=1)
    assert worker.queue.reporter.end(take(0), ended_process(was_killed=True)) is None
    queued = take(0)
    if between == "interrupted":
        worker.end(queued, "interrupted")
    else:
        worker.worker_lock.leave()
        worker = join(total=1)
    assert (worker.queue.reporter.end(take(state), ended_process(was_killed=True)) is not None) == is_given_up


def test_a_trial_that_dies_again_before_it_trains_is_given_up(join):
    worker = join(total=1)
    queued = worker.queue.take()
    worker.queue.reporter.note_start(queued, 100)
    assert worker.queue.reporter.end(queued, ended_process(was_killed=True)) is None
    assert worker.queue.reporter.end(worker.queue.take(), ended_process(was_killed=True)) is not None


def test_a_start_that_a_locked_database_cuts_short_is_repeated(join, monkeypatch):
    worker, begin_life, calls = join(total=1), trial_reporter.begin_life, []

    def fail_once(trial, host):
        begin_life(trial, host)
        calls.append(host)
        if len(calls) == 1:
            raise OperationalError("UPDATE", {}, sqlite3.OperationalError("database is locked"))

    monkeypatch.setattr(trial_reporter, "begin_life", fail_once)
    queued = worker.queue.take()
    assert queued.trial.number == 0 and len(calls) == 2
    assert worker.trial(0).state == TrialState.RUNNING and len(read_lives(worker.trial(0))) == 1


def test_the_time_of_earlier_lives_is_not_counted_again_when_a_result_is_found(join):
    worker = join(total=1)
    worker.end(worker.queue.take(), "interrupted", lived_s=100.0)
    queued = worker.queue.take()
    queued.directory.mkdir(parents=True, exist_ok=True)
    TrialResult("completed", 0, 42, metrics={METRIC: 7.5}, wall_time_s=140.0).save(queued.directory)
    worker.worker_lock.leave()
    assert join(total=1).queue.take() is None
    assert compute_runtime_s(worker.trial(0)) == pytest.approx(140.0, abs=0.1)


def test_a_result_that_a_dead_worker_had_taken_over_costs_no_time(join, tmp_path):
    worker = join(total=1)
    worker.queue.enqueue([InitialPoint("old", "enqueued", CELLS[0], histories={42: tmp_path})])
    queued = worker.queue.take()
    queued.directory.mkdir(parents=True)
    TrialResult("completed", 0, 42, metrics={METRIC: 7.5}, wall_time_s=140.0, env_steps=9).save(queued.directory)
    worker.worker_lock.leave()
    assert join(total=1).queue.take() is None
    (life,) = read_lives(worker.trial(0))
    assert compute_runtime_s(worker.trial(0)) == 0.0 and life.env_steps == 0


def test_a_trial_that_was_killed_after_it_wrote_its_result_keeps_it(join):
    worker = join(total=1)
    queued = worker.queue.take()
    queued.directory.mkdir(parents=True)
    TrialResult("completed", 0, 42, metrics={METRIC: 7.5}).save(queued.directory)
    assert worker.queue.reporter.end(queued, ended_process(was_killed=True)).status == "completed"
    assert worker.trial(0).value == 7.5


def test_what_a_worker_says_of_a_trial_that_another_has_taken_over_by_now_does_not_count(join):
    slow, heir = join(total=1), join(total=1)
    queued = slow.queue.take()
    slow.worker_lock.leave()
    assert heir.queue.take().trial.number == 0
    slow.end(queued, "completed")
    assert slow.queue.reporter.end(queued, ended_process(asked=("interrupted", "stopped"))) is None
    assert heir.trial(0).state == TrialState.RUNNING and len(read_lives(heir.trial(0))) == 2


def test_a_trial_that_its_dead_worker_had_not_told_of_keeps_its_result(join):
    gone = join(total=1)
    lost = gone.queue.take()
    lost.directory.mkdir(parents=True)
    TrialResult(status="completed", trial=0, seed=42, metrics={METRIC: 7.5}).save(lost.directory)
    written = (lost.directory / FILE_NAME).read_bytes()
    gone.worker_lock.leave()
    heir = join(total=1)
    assert heir.queue.take() is None
    assert (heir.trial(0).state, heir.trial(0).value) == (TrialState.COMPLETE, 7.5)
    assert heir.attributes(0)[STATUS] == "completed"
    assert (lost.directory / FILE_NAME).read_bytes() == written


def test_a_dead_workers_trial_lived_until_it_last_wrote_something(join):
    gone = join()
    lost = gone.queue.take()
    (lost.directory / "checkpoints").mkdir(parents=True)
    start = read_lives(gone.trial(0))[0].start.timestamp()
    for name, age in [("progress.csv", 40), ("checkpoints/best.pt", 100), ("train.log", 5)]:
        (lost.directory / name).touch()
        os.utime(lost.directory / name, (start + age, start + age))
    os.utime(lost.directory / "checkpoints", (start + 999, start + 999))  # no file
    gone.worker_lock.leave()
    heir = join()
    heir.queue.take()
    assert compute_runtime_s(heir.trial(0)) == pytest.approx(100, abs=0.01)


def test_a_dead_workers_trial_lived_as_long_wherever_the_worker_that_finds_it_is(join, zone):
    zone("Asia/Tokyo")
    lost = abandoned(join)
    written = read_lives(join().trial(0))[0].start.timestamp() + 100
    for name in ("progress.csv", "train.log"):
        os.utime(lost.directory / name, (written, written))
    zone("America/New_York")
    heir = join()
    heir.queue.take()
    assert compute_runtime_s(heir.trial(0)) == pytest.approx(100, abs=0.01)


def test_a_dead_workers_trial_that_never_wrote_lived_no_time(join):
    gone = join()
    gone.queue.take()
    gone.worker_lock.leave()
    heir = join()
    heir.queue.take()
    assert compute_runtime_s(heir.trial(0)) == 0


def test_a_life_whose_end_its_worker_has_told_is_not_told_again(join):
    gone = join()
    queued = gone.queue.take()
    end_life(queued.trial, 50.0, env_steps=10)  # and then it died
    gone.worker_lock.leave()
    heir = join()
    heir.queue.take()
    life, _ = read_lives(heir.trial(0))
    assert ((life.end - life.start).total_seconds(), life.env_steps) == (50.0, 10)


def test_a_life_is_written_down_with_where_it_began_and_what_it_trained(join):
    worker = join()
    queued = worker.queue.take()
    worker.queue.reporter.note_start(queued, 0)
    worker.end(queued, "interrupted", env_steps=300)
    queued = worker.queue.take()
    worker.queue.reporter.note_start(queued, 250)
    worker.end(queued, env_steps=1000)
    assert [(life.from_env_steps, life.env_steps) for life in read_lives(worker.trial(0))] == [(0, 300), (250, 750)]


def test_a_trial_whose_result_its_dead_worker_left_damaged_is_trained_again(join):
    lost = abandoned(join, total=1)
    (lost.directory / FILE_NAME).write_text("schema_version: 1\nstat", encoding="utf-8")
    heir = join(total=1)
    assert heir.queue.take().trial.number == 1
    assert (heir.attributes(0)[STATUS], heir.attributes(0)[CAUSE]) == ("failed", "its result cannot be read")


def test_the_trial_of_a_living_worker_is_let_alone(join):
    other, worker = join(), join()
    other.queue.take()
    assert worker.work() == CELLS[1:]
    assert worker.trial(0).state == TrialState.RUNNING


@pytest.mark.parametrize("retries", [0, 1, 2])
def test_a_trial_that_crashes_is_trained_again_as_often_as_retries_says(join, retries):
    worker = join(total=1, retries=retries)
    assert worker.work("failed") == [CELLS[0]] * (retries + 1)
    assert worker.queue.count_done() == 1


@pytest.mark.parametrize("status", ["completed", "pruned", "diverged", "timeout"])
def test_what_ended_otherwise_is_not_trained_again(join, status):
    worker = join(total=2, retries=9)
    assert worker.work(status) == CELLS[:2]


def test_a_trial_that_is_trained_again_keeps_its_seed_and_is_no_replicate(join):
    worker = join(Same(CELLS[0]), total=3)
    seeds = []
    for status in ("completed", "interrupted", "completed", "completed"):  # the second is continued
        queued = worker.queue.take()
        worker.end(queued, status)
        seeds.append(queued.candidate.config["seed"])
    assert seeds == [42, 43, 43, 44]


def abandoned(join, **job):
    """A trial that began, and whose worker is gone."""
    gone = join(**job)
    queued = gone.queue.take()
    begin(queued)
    gone.worker_lock.leave()
    return queued


def settled(directory, status="failed"):
    return load_result_or_fallback(directory, status, "it fell", trial=3, seed=5, wall_time_s=1.23456)


def test_a_trial_without_a_result_gets_one_that_says_how_it_ended(tmp_path):
    directory = tmp_path / "trials" / "003"
    result = settled(directory)
    assert result == TrialResult("failed", trial=3, seed=5, seeds=[5], wall_time_s=1.235, cause="it fell")
    assert TrialResult.load(directory) == result


def test_a_result_that_is_there_stays(tmp_path):
    own = TrialResult(status="completed", trial=3, seed=5, metrics={METRIC: 1.0})
    own.save(tmp_path)
    assert settled(tmp_path) == own == TrialResult.load(tmp_path)


def test_a_result_that_cannot_be_read_is_kept_beside_the_new_one(tmp_path):
    (tmp_path / FILE_NAME).write_text("schema_version: 1\nstat", encoding="utf-8")
    assert settled(tmp_path).status == "failed"
    assert TrialResult.load(tmp_path).cause == "it fell"
    assert (tmp_path / "result.broken").read_text(encoding="utf-8") == "schema_version: 1\nstat"


def test_a_result_that_its_process_writes_at_the_last_moment_wins(tmp_path):
    own = TrialResult(status="completed", trial=3, seed=5, metrics={METRIC: 1.0})
    training = threading.Event()

    def finish():
        with own_run_directory(tmp_path):
            training.set()
            time.sleep(0.2)
            own.save(tmp_path)

    process = threading.Thread(target=finish)
    process.start()
    training.wait(timeout=5)
    assert settled(tmp_path) == own == TrialResult.load(tmp_path)
    process.join()
    assert {path.name for path in tmp_path.iterdir()} == {FILE_NAME, LOCK}


def test_a_trial_whose_process_has_not_noticed_yet_that_its_worker_died_is_left_alone(join):
    dead, other = join(), join()
    queued = dead.queue.take()
    begin(queued)
    dead.worker_lock.leave()
    with own_run_directory(queued.directory):
        assert other.queue.take().trial.number == 1
        assert other.queue.others_train
        assert not (queued.directory / FILE_NAME).exists()
    assert other.queue.take().trial.number == 0
