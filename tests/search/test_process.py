"""A trial's process: what is said of one that leaves no result, and what happens to one that overruns its time."""

import time
from types import SimpleNamespace

import pytest

from vbot_train.search import process
from vbot_train.search.claims import Claim
from vbot_train.search.process import TrialProcess, progress_file


@pytest.fixture
def start(tmp_path, monkeypatch):
    """``start(code, minutes)``: a trial that runs a few lines of Python instead of training."""
    started = []

    def make(code, minutes=None):
        (tmp_path / "lines.py").write_text(code, encoding="utf-8")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        monkeypatch.setattr(process, "MODULE", "lines")
        config = {"seed": 42, "search": {"trial_minutes": minutes}}
        candidate, trial = SimpleNamespace(config=config), SimpleNamespace(number=7)
        started.append(TrialProcess(Claim(trial, candidate, tmp_path, None)))
        return started[-1]

    yield make
    for running in started:
        running.process.kill()
        running.process.wait()


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        ("", "the trial's process ended without a result, see train.log"),
        ("raise SystemExit(3)", "the trial's process ended with code 3, see train.log"),
        ("import os; os.kill(os.getpid(), 9)", "the trial's process was killed (signal 9); out of memory?"),
    ],
)
def test_of_a_process_without_a_result_its_end_is_the_cause(start, code, cause):
    running = start(code)
    running.process.wait()
    result = running.result()
    assert (result.status, result.trial, result.cause) == ("failed", 7, cause)


def test_a_trial_that_does_not_heed_its_own_clock_is_killed(start, monkeypatch):
    monkeypatch.setattr(process, "OVERTIME_S", 0.2)
    running = start("import time; time.sleep(60)", minutes=0.1 / 60)  # killed 0.3 s after its start
    assert not running.has_ended()
    time.sleep(0.4)
    assert running.has_ended()
    result = running.result()
    assert result.status == "timeout" and result.cause.startswith("longer than search.trial_minutes=")
    assert 0.3 < result.wall_time_s < 10


def test_a_trial_lives_on_while_the_host_sleeps(start, monkeypatch):
    running, now = start("import time; time.sleep(60)"), time.time()
    monkeypatch.setattr(time, "time", lambda: now + 3600)
    assert running.lived_s == pytest.approx(3600, abs=5)


def test_a_trial_that_is_abandoned_was_stopped(start):
    running = start("import time; time.sleep(60)")
    running.process.kill()
    running.abandon()
    result = running.result()
    assert (result.status, result.cause) == ("interrupted", "the search was stopped")


def test_of_several_seeds_the_first_ones_progress_is_read(tmp_path):
    assert progress_file(tmp_path, 8) == tmp_path / "progress.csv"
    for seed in (8, 9, 10):
        (tmp_path / f"seed_{seed}").mkdir()
        (tmp_path / f"seed_{seed}" / "progress.csv").touch()
    assert progress_file(tmp_path, 8) == tmp_path / "seed_8" / "progress.csv"
