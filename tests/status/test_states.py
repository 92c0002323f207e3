"""The saved states of paused trials: shown with their size, and dropped on request."""

import threading
from dataclasses import replace

import pytest
from studies import screened

from vbot_train.status.states import describe_states, drop_states
from vbot_train.training.run_directory import create_run_lock, state_path


@pytest.fixture
def paused(tmp_path):
    """Two paused trials with states of a megabyte each, and one whose state is gone."""
    trials = [
        replace(screened(number, 1.0, status="paused"), directory=tmp_path / f"{number:03d}") for number in range(3)
    ]
    for trial in trials[:2]:
        (trial.directory / "checkpoints").mkdir(parents=True)
        state_path(trial.directory).write_bytes(bytes(1_000_000))
        (trial.directory / "checkpoints" / "best.pt").touch()
        (trial.directory / "events.out.tfevents.1").touch()
        (trial.directory / "progress.csv").touch()
    return trials


def test_the_line_names_their_number_their_size_and_the_command_that_drops_them(paused):
    assert list(describe_states("multirun/s", paused, "status")) == [
        "paused    2 wait with their states, 2 MB; to drop these: status multirun/s --drop-states"
    ]
    assert list(describe_states("multirun/s", paused[2:], "status")) == []


def test_dropping_leaves_a_directory_in_which_the_trial_can_start_anew(paused):
    assert drop_states(paused) == 2
    assert [path.name for path in sorted(paused[0].directory.rglob("*.*"))] == ["progress.csv", "run.lock"]
    assert drop_states(paused) == 0


def test_a_trial_that_is_being_continued_keeps_its_state(paused):
    lock = create_run_lock(paused[0].directory)
    with lock:
        dropped = []
        thread = threading.Thread(target=lambda: dropped.append(drop_states(paused)))
        thread.start()
        thread.join()
    assert dropped == [1] and state_path(paused[0].directory).exists()
