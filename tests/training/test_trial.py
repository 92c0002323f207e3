"""The process of a trial: what it leaves when it ends before it trains."""

import errno
import gc
import threading
import time

import pytest
from omegaconf import OmegaConf

from vbot_train.training.channel import INTERRUPTED
from vbot_train.training.result import TrialResult, TrialStopped
from vbot_train.training.run_directory import own_run_directory, state_path
from vbot_train.training.stop import StopRequest
from vbot_train.training.trial import train_config, train_trial


@pytest.fixture
def end_with(tmp_path):
    """``end_with(error)``: a trial whose training raises that at once."""
    (tmp_path / ".hydra").mkdir()
    OmegaConf.save({"seed": 7, "search": {"trial_minutes": None}}, tmp_path / ".hydra" / "config.yaml")

    def run(error, recorded=None):
        def raise_it(config, run_dir, number, stop, report):
            assert (config["seed"], run_dir, number) == (7, tmp_path, 3)
            if recorded is not None:
                recorded.save(run_dir)
            raise error

        train_trial(tmp_path, 3, StopRequest(), print, raise_it)

    return run


def test_a_failure_before_the_training_has_a_cause_and_a_traceback(tmp_path, end_with):
    with pytest.raises(ImportError):
        end_with(ImportError("no mujoco\nanywhere"))
    result = TrialResult.load(tmp_path)
    assert (result.status, result.cause) == ("failed", "ImportError: no mujoco")
    assert (result.trial, result.seed, result.seeds) == (3, 7, [7])
    assert "raise_it" in (tmp_path / "error.txt").read_text(encoding="utf-8")


def test_a_full_disk_ends_a_trial_for_good_only_if_it_has_no_state(tmp_path, end_with, capsys):
    state_path(tmp_path).parent.mkdir()
    state_path(tmp_path).touch()
    with pytest.raises(SystemExit) as ended:
        end_with(OSError(errno.ENOSPC, "No space left on device"))
    assert ended.value.code == INTERRUPTED and not (tmp_path / "result.yaml").exists()
    cause = "OSError: [Errno 28] No space left on device"
    assert capsys.readouterr().out == f"{ {'kind': 'disk_fault', 'cause': cause} }\n"
    state_path(tmp_path).unlink()
    with pytest.raises(OSError, match="No space left"):
        end_with(OSError(errno.ENOSPC, "No space left on device"))
    assert TrialResult.load(tmp_path).cause == cause


def test_a_time_limit_before_the_training_is_its_end(tmp_path, end_with):
    end_with(TrialStopped("timeout", "too long"))
    result = TrialResult.load(tmp_path)
    assert (result.status, result.cause, result.trial, result.seed) == ("timeout", "too long", 3, 7)


def test_an_interruption_leaves_nothing_that_would_keep_it_from_being_continued(tmp_path, end_with):
    with pytest.raises(SystemExit) as ended:
        end_with(TrialStopped("interrupted", "the search was stopped"))
    assert ended.value.code == INTERRUPTED
    assert {path.name for path in tmp_path.iterdir()} == {".hydra", "run.lock"}


def test_a_trial_waits_for_a_process_of_a_dead_worker_that_still_writes_its_state(tmp_path, end_with):
    owned = threading.Event()

    def write_state():
        with own_run_directory(tmp_path):
            owned.set()
            time.sleep(0.3)
            (tmp_path / "state").touch()

    other = threading.Thread(target=write_state)
    other.start()
    owned.wait(timeout=5)
    with pytest.raises(LookupError, match="it trained"):
        end_with(LookupError("it trained"))
    assert (tmp_path / "state").exists()
    other.join()


def test_a_trial_whose_worker_died_before_it_began_does_not_begin(tmp_path):
    (tmp_path / ".hydra").mkdir()
    OmegaConf.save({"seed": 7}, tmp_path / ".hydra" / "config.yaml")
    stop = StopRequest()
    stop.stop("interrupted", "its worker is gone")
    with pytest.raises(SystemExit):
        train_trial(tmp_path, 3, stop, print, lambda *arguments: pytest.fail("it trained"))


def test_a_failure_that_the_training_has_recorded_stays_as_it_is(tmp_path, end_with):
    recorded = TrialResult("failed", 3, 7, [7], cause="the training's own words")
    with pytest.raises(ValueError, match="again"):
        end_with(ValueError("again"), recorded)
    assert TrialResult.load(tmp_path).cause == "the training's own words"
    assert not (tmp_path / "error.txt").exists()


def test_what_a_trial_imports_is_not_searched_for_garbage(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr("vbot_train.training.train.train", lambda *arguments, **options: seen.append(gc.isenabled()))
    frozen = gc.get_freeze_count()
    train_config({}, tmp_path, 3, StopRequest(), print)
    more = gc.get_freeze_count() - frozen
    gc.unfreeze()
    assert seen == [True] and more > 100_000
