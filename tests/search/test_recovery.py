"""What was interrupted is continued, what crashed is trained again, and no result is ever overwritten."""

import os
import threading
import time

import pytest
from loops import CELLS, METRIC, Same, begin, ended_process
from optuna.trial import TrialState

from vbot_train.search.execution.fallback import result_or_fallback
from vbot_train.study.accounting import CAUSE, LOOP, ORIGIN, RETRY_OF, SEED, STATUS
from vbot_train.study.lives import LIVES, end_life, lives_of, runtime_s
from vbot_train.training.result import FILE_NAME, TrialResult
from vbot_train.training.run_directory import LOCK, own_run_directory


def test_what_was_stopped_is_continued_before_new_cells_and_what_crashed_comes_after_them(join):
    loop = join(total=3)
    first = loop.claims.claim()
    loop.end(first, "interrupted", cause="the search was stopped")
    assert (loop.attributes(0)[STATUS], loop.attributes(0)[CAUSE]) == ("interrupted", "the search was stopped")
    assert loop.trial(0).state == TrialState.WAITING
    again = loop.claims.claim()
    assert (again.trial.number, again.candidate.params, again.directory) == (0, CELLS[0], first.directory)
    loop.end(again, "failed")
    assert loop.work() == [CELLS[1], CELLS[2], CELLS[0]]
    assert [loop.attributes(number).get(RETRY_OF) for number in range(4)] == [None, None, None, 0]


def test_of_several_that_were_stopped_each_is_continued_under_its_number_first_the_lowest(join):
    loop = join()
    claims = [loop.claims.claim() for _ in range(3)]
    for claim in reversed(claims):
        loop.end(claim, "interrupted")
    again = [loop.claims.claim() for _ in range(4)]
    assert [claim.trial.number for claim in again] == [0, 1, 2, 3]
    assert [claim.candidate.params for claim in again] == CELLS


def test_the_trial_of_a_worker_that_died_is_continued_under_its_number_however_often(join, tmp_path):
    for life in range(1, 5):
        gone = join()
        claim = gone.claims.claim()
        begin(claim)
        assert (claim.trial.number, claim.candidate.params, claim.directory) == (0, CELLS[0], tmp_path / "trials/000")
        attributes = gone.attributes(0)
        assert attributes.keys() - {STATUS, CAUSE} == {ORIGIN, SEED, LOOP, LIVES}
        assert (attributes[LOOP], len(lives_of(gone.trial(0)))) == (gone.presence.name, life)
        gone.presence.leave()
    last = join()
    assert last.work() == CELLS
    assert last.claims.given_up() == [] and last.claims.done() == 4


def test_a_trial_that_is_killed_twice_while_its_worker_lives_is_given_up_unless_its_state_has_advanced(join):
    loop = join(total=1, retries=9)
    for has_advanced in (False, True, True, False):
        claim = loop.claims.claim()
        result = loop.claims.reporter.end(claim, ended_process(was_killed=True, has_advanced=has_advanced))
        assert (result is None) == (has_advanced or len(lives_of(loop.trial(0))) == 1)
    assert (result.status, result.wall_time_s) == ("failed", 4.0)
    assert result.cause.endswith("killed (signal 9); out of memory?; twice, without a new state in between")
    assert loop.trial(0).state == TrialState.FAIL and loop.claims.given_up() == [0]
    assert loop.claims.claim() is None


@pytest.mark.parametrize("between", ["interrupted", "worker died"])
def test_only_two_kills_that_follow_each_other_count(join, between):
    loop = join(total=1)
    assert loop.claims.reporter.end(loop.claims.claim(), ended_process(was_killed=True)) is None
    if between == "interrupted":
        loop.end(loop.claims.claim(), "interrupted")
    else:
        loop.claims.claim()
        loop.presence.leave()
        loop = join(total=1)
    assert loop.claims.reporter.end(loop.claims.claim(), ended_process(was_killed=True)) is None


def test_a_trial_that_was_killed_after_it_wrote_its_result_keeps_it(join):
    loop = join(total=1)
    claim = loop.claims.claim()
    claim.directory.mkdir(parents=True)
    TrialResult("completed", 0, 42, metrics={METRIC: 7.5}).save(claim.directory)
    assert loop.claims.reporter.end(claim, ended_process(was_killed=True)).status == "completed"
    assert loop.trial(0).value == 7.5


def test_what_a_worker_says_of_a_trial_that_another_has_taken_over_by_now_does_not_count(join):
    slow, heir = join(total=1), join(total=1)
    claim = slow.claims.claim()
    slow.presence.leave()
    assert heir.claims.claim().trial.number == 0
    slow.end(claim, "completed")
    assert slow.claims.reporter.end(claim, ended_process(asked=("interrupted", "stopped"))) is None
    assert heir.trial(0).state == TrialState.RUNNING and len(lives_of(heir.trial(0))) == 2


def test_a_trial_that_its_dead_loop_had_not_told_of_keeps_its_result(join):
    gone = join(total=1)
    lost = gone.claims.claim()
    lost.directory.mkdir(parents=True)
    TrialResult(status="completed", trial=0, seed=42, metrics={METRIC: 7.5}).save(lost.directory)
    written = (lost.directory / FILE_NAME).read_bytes()
    gone.presence.leave()
    heir = join(total=1)
    assert heir.claims.claim() is None
    assert (heir.trial(0).state, heir.trial(0).value) == (TrialState.COMPLETE, 7.5)
    assert heir.attributes(0)[STATUS] == "completed"
    assert (lost.directory / FILE_NAME).read_bytes() == written


def test_a_dead_loops_trial_lived_until_it_last_wrote_something(join):
    gone = join()
    lost = gone.claims.claim()
    (lost.directory / "checkpoints").mkdir(parents=True)
    start = lives_of(gone.trial(0))[0].start.timestamp()
    for name, age in [("progress.csv", 40), ("checkpoints/best.pt", 100), ("train.log", 5)]:
        (lost.directory / name).touch()
        os.utime(lost.directory / name, (start + age, start + age))
    os.utime(lost.directory / "checkpoints", (start + 999, start + 999))  # no file
    gone.presence.leave()
    heir = join()
    heir.claims.claim()
    assert runtime_s(heir.trial(0)) == pytest.approx(100, abs=0.01)


def test_a_dead_loops_trial_lived_as_long_wherever_the_loop_that_finds_it_is(join, zone):
    zone("Asia/Tokyo")
    lost = abandoned(join)
    written = lives_of(join().trial(0))[0].start.timestamp() + 100
    for name in ("progress.csv", "train.log"):
        os.utime(lost.directory / name, (written, written))
    zone("America/New_York")
    heir = join()
    heir.claims.claim()
    assert runtime_s(heir.trial(0)) == pytest.approx(100, abs=0.01)


def test_a_dead_loops_trial_that_never_wrote_lived_no_time(join):
    gone = join()
    gone.claims.claim()
    gone.presence.leave()
    heir = join()
    heir.claims.claim()
    assert runtime_s(heir.trial(0)) == 0


def test_a_life_whose_end_its_loop_has_told_is_not_told_again(join):
    gone = join()
    claim = gone.claims.claim()
    end_life(claim.trial, 50.0, env_steps=10)  # and then it died
    gone.presence.leave()
    heir = join()
    heir.claims.claim()
    life, _ = lives_of(heir.trial(0))
    assert ((life.end - life.start).total_seconds(), life.env_steps) == (50.0, 10)


def test_a_life_is_written_down_with_where_it_began_and_what_it_trained(join):
    loop = join()
    claim = loop.claims.claim()
    loop.claims.reporter.note_start(claim, 0)
    loop.end(claim, "interrupted", env_steps=300)
    claim = loop.claims.claim()
    loop.claims.reporter.note_start(claim, 250)
    loop.end(claim, env_steps=1000)
    assert [(life.from_env_steps, life.env_steps) for life in lives_of(loop.trial(0))] == [(0, 300), (250, 750)]


def test_a_trial_whose_result_its_dead_worker_left_damaged_is_trained_again(join):
    lost = abandoned(join, total=1)
    (lost.directory / FILE_NAME).write_text("schema_version: 1\nstat", encoding="utf-8")
    heir = join(total=1)
    assert heir.claims.claim().trial.number == 1
    assert (heir.attributes(0)[STATUS], heir.attributes(0)[CAUSE]) == ("failed", "its result cannot be read")


@pytest.mark.parametrize("set_so_far", [[], ["ppo.rollouts"], ["ppo.rollouts", "ppo.learning_epochs"]])
def test_a_trial_whose_loop_died_before_it_signed_it_is_claimed_again_whole(join, grid, set_so_far):
    loop = join()
    loop.study.enqueue_trial(CELLS[3], user_attrs={ORIGIN: "proposed"})
    loop.study.ask({key: grid.distributions[key] for key in set_so_far})
    again = loop.claims.claim()
    assert (again.trial.number, again.candidate.params, again.trial.params) == (0, CELLS[3], CELLS[3])


def test_the_trial_of_a_living_loop_is_let_alone(join):
    other, loop = join(), join()
    other.claims.claim()
    assert loop.work() == CELLS[1:]
    assert loop.trial(0).state == TrialState.RUNNING


@pytest.mark.parametrize("retries", [0, 1, 2])
def test_a_trial_that_crashes_is_trained_again_as_often_as_retries_says(join, retries):
    loop = join(total=1, retries=retries)
    assert loop.work("failed") == [CELLS[0]] * (retries + 1)
    assert loop.claims.done() == 1


@pytest.mark.parametrize("status", ["completed", "pruned", "diverged", "timeout"])
def test_what_ended_otherwise_is_not_trained_again(join, status):
    loop = join(total=2, retries=9)
    assert loop.work(status) == CELLS[:2]


def test_a_trial_that_is_trained_again_keeps_its_seed_and_is_no_replicate(join):
    loop = join(Same(CELLS[0]), total=3)
    seeds = []
    for status in ("completed", "interrupted", "completed", "completed"):  # the second is continued
        claim = loop.claims.claim()
        loop.end(claim, status)
        seeds.append(claim.candidate.config["seed"])
    assert seeds == [42, 43, 43, 44]


def abandoned(join, **job):
    """A trial that began, and whose loop is gone."""
    gone = join(**job)
    claim = gone.claims.claim()
    begin(claim)
    gone.presence.leave()
    return claim


def settled(directory, status="failed"):
    return result_or_fallback(directory, status, "it fell", trial=3, seed=5, wall_time_s=1.23456)


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


def test_a_trial_whose_process_has_not_noticed_yet_that_its_loop_died_is_left_alone(join):
    dead, other = join(), join()
    claim = dead.claims.claim()
    begin(claim)
    dead.presence.leave()
    with own_run_directory(claim.directory):
        assert other.claims.claim().trial.number == 1
        assert other.claims.others_train
        assert not (claim.directory / FILE_NAME).exists()
    assert other.claims.claim().trial.number == 0
