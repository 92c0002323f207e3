"""What was interrupted, crashed or lost is trained again, and no result is ever overwritten."""

import os
import threading
import time

import pytest
from loops import CELLS, METRIC, Same, begin
from optuna.trial import TrialState

from vbot_train.lives import LIVES, end_life, lived_s, lives_of
from vbot_train.search.ledger import CAUSE, KILLED, LOOP, ORIGIN, RETRY_OF, SEED, STATUS
from vbot_train.search.settle import KILLED_CAUSE, settle
from vbot_train.training.result import FILE_NAME, TrialResult
from vbot_train.training.run_directory import LOCK, own_run_directory


def test_what_was_stopped_comes_before_new_cells_and_what_crashed_after_them(join):
    loop = join(total=3)
    first = loop.claims.claim()
    loop.end(first, "interrupted")
    again = loop.claims.claim()
    assert (again.trial.number, again.candidate.params) == (1, CELLS[0])
    loop.end(again, "failed")
    assert loop.work() == [CELLS[1], CELLS[2], CELLS[0]]
    assert [loop.attributes(number).get(RETRY_OF) for number in range(5)] == [None, 0, None, None, 1]


def test_the_trial_of_a_loop_that_died_is_claimed_again_once_under_a_new_number(join, tmp_path):
    gone = join()
    lost = gone.claims.claim()
    begin(lost)
    gone.presence.leave()
    heir = join()
    again = heir.claims.claim()
    begin(again)
    assert (again.trial.number, again.candidate.params) == (1, CELLS[0])
    assert again.directory == tmp_path / "trials" / "001"
    attributes = heir.attributes(1)
    assert attributes.keys() == {ORIGIN, SEED, RETRY_OF, LOOP, LIVES}
    assert [attributes[key] for key in (ORIGIN, SEED, RETRY_OF, LOOP)] == ["proposed", 42, 0, heir.presence.name]
    assert heir.trial(0).state == TrialState.FAIL
    assert (heir.attributes(0)[STATUS], heir.attributes(0)[KILLED]) == ("interrupted", True)
    assert (lost.directory / "progress.csv").read_text(encoding="utf-8") == "env_steps\n"
    record = TrialResult.load(lost.directory)
    assert (record.status, record.trial, record.seeds) == ("interrupted", 0, [42])
    assert record.cause == heir.attributes(0)[CAUSE] == "its search was killed"
    heir.presence.leave()
    last = join()  # killed twice: the trial may be what kills its loops
    assert last.work() == CELLS[1:]
    assert (last.attributes(1)[STATUS], last.claims.done()) == ("interrupted", 4)
    assert last.claims.given_up() == [1]


def test_a_trial_whose_process_had_not_begun_when_its_loop_died_cannot_have_been_the_cause(join):
    for _ in range(3):
        gone = join(total=1)
        assert gone.claims.claim() is not None
        gone.presence.leave()
    last = join(total=1)
    assert last.work() == CELLS[:1]
    assert last.claims.given_up() == []


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
    assert heir.attributes(0)[STATUS] == "completed" and KILLED not in heir.attributes(0)
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
    assert lived_s(heir.trial(0)) == pytest.approx(100, abs=0.01)
    assert TrialResult.load(lost.directory).wall_time_s == pytest.approx(100, abs=0.01)


def test_a_dead_loops_trial_lived_as_long_wherever_the_loop_that_finds_it_is(join, zone):
    zone("Asia/Tokyo")
    lost = abandoned(join)
    written = lives_of(join().trial(0))[0].start.timestamp() + 100
    for name in ("progress.csv", "train.log"):
        os.utime(lost.directory / name, (written, written))
    zone("America/New_York")
    heir = join()
    heir.claims.claim()
    assert lived_s(heir.trial(0)) == pytest.approx(100, abs=0.01)


def test_a_dead_loops_trial_that_never_wrote_lived_no_time(join):
    gone = join()
    gone.claims.claim()
    gone.presence.leave()
    heir = join()
    heir.claims.claim()
    assert lived_s(heir.trial(0)) == 0


def test_a_dead_loops_trial_did_not_live_until_its_result_was_written_for_it(join):
    """The loop that found it wrote a result and died in its turn; the next one comes a day later."""
    lost = abandoned(join)
    settle(lost.directory, "interrupted", KILLED_CAUSE, trial=0, seed=42, wall_time_s=100)
    tomorrow = time.time() + 86_400
    os.utime(lost.directory / FILE_NAME, (tomorrow, tomorrow))
    heir = join()
    heir.claims.claim()
    assert lived_s(heir.trial(0)) == pytest.approx(100, abs=1)
    assert heir.attributes(0)[KILLED]


def test_a_life_whose_end_its_loop_has_told_is_not_told_again(join):
    gone = join()
    claim = gone.claims.claim()
    end_life(claim.trial, 50.0, env_steps=10)  # and then it died
    gone.presence.leave()
    heir = join()
    heir.claims.claim()
    (life,) = lives_of(heir.trial(0))
    assert ((life.end - life.start).total_seconds(), life.env_steps) == (50.0, 10)


def test_a_trial_that_was_told_to_stop_is_trained_again_however_often_its_search_was_killed(join):
    for number in range(3):
        lost = abandoned(join, total=1)
        assert lost.trial.number == number
        cause = "the search was stopped"
        TrialResult("interrupted", number, 42, [42], cause=cause).save(lost.directory)
    assert join(total=1).claims.claim().trial.number == 3


@pytest.mark.parametrize("set_so_far", [[], ["ppo.rollouts"], ["ppo.rollouts", "ppo.learning_epochs"]])
def test_a_trial_whose_loop_died_before_it_signed_it_is_claimed_again_whole(join, grid, set_so_far):
    loop = join()
    loop.study.enqueue_trial(CELLS[3], user_attrs={ORIGIN: "proposed"})
    loop.study.ask({key: grid.distributions[key] for key in set_so_far})
    again = loop.claims.claim()
    assert (again.trial.number, again.candidate.params) == (1, CELLS[3])


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
    for status in ("completed", "interrupted", "completed", "completed"):
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
    return settle(directory, status, "it fell", trial=3, seed=5, wall_time_s=1.23456)


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
    assert other.claims.claim().candidate.params == claim.candidate.params
    assert TrialResult.load(claim.directory).status == "interrupted"
