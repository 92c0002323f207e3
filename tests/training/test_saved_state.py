"""A training that is stopped or killed and continued ends as one that was left alone; a state that does not fit is
refused, and nothing is changed.
"""

import csv
import errno
import json
import random
import signal
import subprocess
import sys
import time
from itertools import count

import pytest
import torch
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from torch.testing import assert_close

from vbot_train.config.composition import ConfigError, compose_config
from vbot_train.training.files import read_yaml
from vbot_train.training.result import TrialResult, TrialStopped
from vbot_train.training.run_directory import state_path
from vbot_train.training.stop import StopRequest
from vbot_train.training.train import train

# 9 updates, 4 of which are evaluated; episodes of 0.5 s, so that many end.
EPISODE = 25  # control steps
SHORT = [
    "training=smoke",
    "network=small",
    "training.num_envs=16",
    "training.env_steps=3456",
    "training.evaluations=4",
    "env.episode_length_s=0.5",
]
CLOCKS = ("env_steps_per_s", "wall_time_s")


class StopAtCheck(StopRequest):
    """Asked to stop the n-th time that the training looks: between two updates or two control steps."""

    def __init__(self, number, status="interrupted"):
        super().__init__()
        self.checks, self._number, self._status = 0, number, status

    def check(self):
        self.checks += 1
        if self.checks == self._number:
            self.stop(self._status, "by a test")
        super().check()


class Killed(KeyboardInterrupt):
    """Nothing is put in order."""


def kill_at(update, kind="update"):
    """A report that ends the process at an update, before its state is written."""

    def report(event):
        if event["kind"] == kind and event.get("number") == update:
            raise Killed

    return report


def rows_of(directory):
    """The rows of progress.csv but for the clock."""
    with (directory / "progress.csv").open(encoding="utf-8") as file:
        return [{key: value for key, value in row.items() if key not in CLOCKS} for row in csv.DictReader(file)]


def result_of(directory):
    return {key: value for key, value in read_yaml(directory / "result.yaml").items() if key not in CLOCKS}


def events_of(directory):
    """Step and tag of every event that is shown, in all files."""
    found = []
    for path in directory.glob("events.out.tfevents.*"):
        for event in EventFileLoader(str(path)).Load():
            found += [(event.step, value.tag) for value in event.summary.value]
    return found


def assert_as_if_never_stopped(directory, whole):
    """The same files, to the last digit."""
    assert result_of(directory) == result_of(whole)
    assert rows_of(directory) == rows_of(whole)
    events = events_of(directory)
    assert sorted(events) == sorted(events_of(whole)) and len(set(events)) == len(events)
    names = {path.name for path in (whole / "checkpoints").iterdir()}
    assert {path.name for path in (directory / "checkpoints").iterdir()} == names == {"best.pt", "last.pt"}
    for name in names:
        pair = (torch.load(folder / "checkpoints" / name, weights_only=True) for folder in (directory, whole))
        assert_close(*pair, rtol=0, atol=0)


@pytest.fixture(scope="module", params=["section001", "section001_robust"])
def trained(request, tmp_path_factory):
    """A config, and the directory of a training that was left alone."""
    config = compose_config([f"env={request.param}", *SHORT])
    directory = tmp_path_factory.mktemp("whole")
    train(config, directory)
    return config, directory


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The same of section001 only."""
    config = compose_config(SHORT)
    directory = tmp_path_factory.mktemp("whole")
    train(config, directory)
    return config, directory


def test_a_training_that_is_stopped_anywhere_ends_as_if_it_never_was(trained, tmp_path):
    config, directory = trained
    never = StopAtCheck(-1)
    train(config, tmp_path / "counted", stop=never)
    assert never.checks > 9 + 4 * EPISODE + EPISODE  # updates; control steps of evaluations, the last ones among them
    for number in (1, 2, *sorted(random.Random(0).sample(range(3, 9 + 4 * EPISODE), 3)), never.checks):
        with pytest.raises(TrialStopped):
            train(config, tmp_path / f"{number}", stop=StopAtCheck(number))
        assert state_path(tmp_path / f"{number}").exists() and not (tmp_path / f"{number}" / "result.yaml").exists()
        assert not (tmp_path / f"{number}" / "error.txt").exists()
        train(config, tmp_path / f"{number}")
        assert_as_if_never_stopped(tmp_path / f"{number}", directory)


def test_a_training_that_is_stopped_again_and_again_ends_as_if_it_never_was(trained, tmp_path):
    config, directory = trained
    for _ in count():
        try:
            train(config, tmp_path, stop=StopAtCheck(2 * EPISODE))  # a little more than an evaluation
            break
        except TrialStopped:
            pass
    assert_as_if_never_stopped(tmp_path, directory)


@pytest.mark.parametrize("update", [1, 3, 4, 9])  # the first evaluation follows update 2, the last one update 9
def test_a_training_that_is_killed_ends_as_if_it_never_was(trained, tmp_path, update):
    config, directory = trained
    with pytest.raises(Killed):
        train(config, tmp_path, report=kill_at(update))
    saved = torch.load(state_path(tmp_path), weights_only=True)
    assert len(rows_of(tmp_path)) == update > saved["loop"]["number"]  # what is on the disk is newer than the state
    train(config, tmp_path)
    assert_as_if_never_stopped(tmp_path, directory)


def test_a_training_that_finds_the_disk_full_keeps_its_state_and_ends_as_if_it_never_was(whole, tmp_path):
    config, directory = whole

    def fill_disk(event):
        if event.get("number") == 3:
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        train(config, tmp_path, report=fill_disk)
    assert state_path(tmp_path).exists() and not (tmp_path / "result.yaml").exists()
    train(config, tmp_path)
    assert_as_if_never_stopped(tmp_path, directory)


def test_the_checkpoint_of_another_timeline_is_replaced(whole, tmp_path):
    config, directory = whole
    for number in (2, 4):  # the first evaluation, and the second
        with pytest.raises(Killed):
            train(config, tmp_path, report=kill_at(number))
        (tmp_path / "checkpoints" / "best.pt").write_bytes(b"from another timeline")
    saved = torch.load(state_path(tmp_path), weights_only=True)
    assert saved["selection"]["chosen"] is not None
    events = []
    train(config, tmp_path, report=events.append)
    assert events[0] == {"kind": "begun", "env_steps": 2 * 384}
    assert_as_if_never_stopped(tmp_path, directory)


def test_the_state_is_written_at_the_beginning_at_evaluations_and_as_often_as_asked(whole, tmp_path):
    config, _ = whole
    written = {}
    for seconds in (1e9, 0.0):
        events = []
        train(config, tmp_path / str(seconds), report=events.append, state_every_s=seconds)
        written[seconds] = [event["env_steps"] // 384 for event in events if event["kind"] == "state"]
    assert written == {1e9: [0, 2, 4, 7, 9], 0.0: list(range(10))}


def test_what_is_reported_is_the_rows_in_plain_data(whole, tmp_path):
    config, directory = whole
    events = []
    train(config, tmp_path, report=events.append)
    assert json.loads(json.dumps(events, allow_nan=False)) == events
    assert events[:2] == [{"kind": "begun", "env_steps": 0}, {"kind": "state", "env_steps": 0}]
    updates = [event for event in events if event["kind"] == "update"]
    assert [update.get("evaluation") for update in updates] == [None, 1, None, 2, None, None, 3, None, 4]
    for update, row in zip(updates, rows_of(directory), strict=True):
        assert {key: "" if update.get(key) is None else str(update[key]) for key in row} == {
            key: "" if value == "nan" else value for key, value in row.items()
        }


def test_a_training_that_is_stopped_for_good_has_a_result_and_no_state(whole, tmp_path):
    result = train(whole[0], tmp_path, stop=StopAtCheck(2, "timeout"))
    assert (result.status, result.env_steps) == ("timeout", 384)
    assert TrialResult.load(tmp_path) == result and not state_path(tmp_path).exists()


def test_a_failed_training_has_a_result_and_no_state(whole, tmp_path):
    def fail(event):
        if event["kind"] == "update":
            raise RuntimeError("on fire")

    with pytest.raises(RuntimeError):
        train(whole[0], tmp_path, report=fail)
    assert TrialResult.load(tmp_path).status == "failed" and not state_path(tmp_path).exists()


def test_the_wall_time_of_all_processes_adds_up(whole, tmp_path):
    config, _ = whole
    with pytest.raises(TrialStopped):
        train(config, tmp_path, stop=StopAtCheck(2))
    saved = torch.load(state_path(tmp_path), weights_only=True)
    saved["wall_time_s"] = 1000.0
    torch.save(saved, state_path(tmp_path))
    assert 1000 < train(config, tmp_path).wall_time_s < 1060


@pytest.mark.parametrize("threads", [1, 2])
def test_two_trainings_left_alone_are_equal_to_the_last_digit(tmp_path, threads):
    config = compose_config(
        [*SHORT, f"training.torch_threads={threads}", "training.num_envs=64", "ppo.learning_epochs=2"]
    )
    for name in ("one", "other"):
        train(config, tmp_path / name)
    assert_as_if_never_stopped(tmp_path / "one", tmp_path / "other")


@pytest.fixture
def stopped(whole, tmp_path):
    """A config, and the directory of a training that was stopped after three updates."""
    with pytest.raises(TrialStopped):
        train(whole[0], tmp_path, stop=StopAtCheck(3 + 1 + EPISODE))
    return whole[0], tmp_path


def contents(directory):
    files = (path for path in directory.rglob("*") if path.is_file() and path.name != "run.lock")
    return {path: path.read_bytes() for path in files}


def change_state(**changes):
    def change(path):
        torch.save({**torch.load(path, weights_only=True), **changes}, path)

    return change


class Exploit:
    """Unpickling it would run code."""

    def __reduce__(self):
        return (exec, ("raise SystemExit('code in a state was run')",))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-1000]), "not the state of a training"),
        (lambda path: path.write_bytes(b""), "not the state of a training"),
        (lambda path: path.write_text("no state", encoding="utf-8"), "not the state of a training"),
        (lambda path: torch.save({"policy": 1}, path), "not the state of a training"),
        (lambda path: torch.save(Exploit(), path), "not the state of a training"),
        (change_state(schema_version=2), "of schema version 2, this program reads 1"),
        (change_state(loop={}), "does not fit"),
        (lambda path: (path.parents[1] / "progress.csv").write_text("number\n", encoding="utf-8"), "rows are missing"),
    ],
)
def test_a_state_that_cannot_be_continued_is_refused_in_a_line_and_nothing_changes(stopped, spoil, words):
    config, directory = stopped
    spoil(state_path(directory))
    before = contents(directory)
    with pytest.raises(ConfigError, match=words) as refusal:
        train(config, directory)
    assert str(directory) in str(refusal.value) and "\n" not in str(refusal.value)
    assert contents(directory) == before


def test_the_state_of_another_configuration_is_refused_with_the_difference(stopped):
    config, directory = stopped
    before = contents(directory)
    other = {**config, "ppo": {**config["ppo"], "learning_rate": 3e-4}}
    with pytest.raises(ConfigError, match=r"state\.pt: .*ppo\.learning_rate: 0\.001 -> 0\.0003"):
        train(other, directory)
    assert contents(directory) == before


def test_threads_may_differ_and_it_is_said(stopped, caplog):
    config, directory = stopped
    other = {**config, "training": {**config["training"], "torch_threads": 2}}
    with pytest.raises(TrialStopped):
        train(other, directory, stop=StopAtCheck(1))
    assert "training.torch_threads: 1 -> 2" in caplog.text


def test_a_training_that_cannot_go_on_here_is_left_as_it_is(stopped, monkeypatch):
    def no_gpu(*args, **kwargs):
        raise ConfigError("simulation=warp: torch found no GPU to use")

    config, directory = stopped
    before = contents(directory)
    monkeypatch.setattr("vbot_train.training.training_run.build_env", no_gpu)
    with pytest.raises(ConfigError, match="found no GPU"):
        train(config, directory)
    assert contents(directory) == before


def test_a_training_that_began_from_a_checkpoint_goes_on_without_it(whole, tmp_path):
    checkpoint = tmp_path / "first.pt"
    checkpoint.write_bytes((whole[1] / "checkpoints" / "best.pt").read_bytes())
    config = {**whole[0], "init_from": str(checkpoint)}
    train(config, tmp_path / "whole")
    with pytest.raises(TrialStopped):
        train(config, tmp_path / "stopped", stop=StopAtCheck(2))
    torch.save({}, checkpoint)
    train(config, tmp_path / "stopped")
    assert_as_if_never_stopped(tmp_path / "stopped", tmp_path / "whole")


def test_a_state_holds_no_password(tmp_path):
    config = compose_config([*SHORT, "storage='postgresql://me:secret@host/db'"])
    with pytest.raises(TrialStopped):
        train(config, tmp_path, stop=StopAtCheck(1))
    assert b"secret" not in state_path(tmp_path).read_bytes()


def test_what_a_killed_process_left_of_a_state_is_removed(stopped):
    config, directory = stopped
    (directory / "checkpoints" / ".12345678.state.pt").write_bytes(b"half")
    train(config, directory)
    assert {path.name for path in (directory / "checkpoints").iterdir()} == {"best.pt", "last.pt"}


LINE = ["training.env_steps=122880", "training.evaluation_episodes=32", "training.torch_threads=1"]


@pytest.mark.slow
@pytest.mark.parametrize("env", ["section001", "section001_robust"])
def test_a_run_that_is_stopped_five_times_ends_as_if_it_never_was(tmp_path, env):
    line = [sys.executable, "-m", "vbot_train", f"env={env}", *LINE]
    subprocess.run([*line, "hydra.run.dir=whole"], cwd=tmp_path, check=True, capture_output=True)
    updates = random.Random(env).sample(range(1, 10), 5)  # of 10
    for number, update in enumerate(sorted(updates)):
        process = subprocess.Popen([*line, "hydra.run.dir=stopped"], cwd=tmp_path, stdout=subprocess.DEVNULL)
        while not (tmp_path / "stopped/progress.csv").exists() or len(rows_of(tmp_path / "stopped")) < update:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL if number % 2 else signal.SIGTERM)
        assert process.wait(timeout=60) in (143, -9)
    subprocess.run([*line, "hydra.run.dir=stopped"], cwd=tmp_path, check=True, capture_output=True)
    assert_as_if_never_stopped(tmp_path / "stopped", tmp_path / "whole")


def test_where_a_training_was_continued_under_other_circumstances_stands_in_its_result(whole, tmp_path, monkeypatch):
    config, _ = whole
    with pytest.raises(TrialStopped):
        train(config, tmp_path, stop=StopAtCheck(3))
    monkeypatch.setattr("platform.node", lambda: "elsewhere")
    first, last = train(config, tmp_path).machines
    assert last["host"] == "elsewhere" != first["host"] and first | {"host": "elsewhere"} == last
