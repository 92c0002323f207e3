"""Loops see each other live and die, however they die."""

import errno
import subprocess
import sys

import pytest
from filelock import Timeout

from vbot_train.config.composition import ConfigError
from vbot_train.search.execution import worker_lock
from vbot_train.search.execution.worker_lock import WorkerLock

WORKER = """
import sys
from contextlib import nullcontext
from pathlib import Path
from vbot_train.search.execution.worker_lock import WorkerLock

with WorkerLock(Path(sys.argv[1])) as worker_lock, worker_lock.hold() if sys.argv[2] == "locked" else nullcontext():
    print(worker_lock.name, flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def start_worker(tmp_path):
    """Start a worker in a process of its own, which ends when a line is sent to it. Gives the process and its name."""
    processes = []

    def start(lock="open"):
        command = [sys.executable, "-c", WORKER, str(tmp_path), lock]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        processes.append(process)
        return process, process.stdout.readline().strip()

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(worker_lock, "LOCK_TIMEOUT_S", 0.1)


def files(directory):
    return {path.stem for path in directory.rglob("*.lock")} - {"study"}


def test_a_worker_in_another_process_lives_until_it_is_killed(tmp_path, start_worker):
    process, name = start_worker()
    with WorkerLock(tmp_path) as own, own.hold():
        assert own.is_alive(name) and own.list_others() == [name] and own.shares_host()
        process.kill()
        process.wait()
        assert not own.is_alive(name)
        assert own.list_others() == [] and not own.shares_host()
        assert files(tmp_path) == {own.name}  # who notices tidies up


def test_a_worker_that_leaves_takes_its_file_along(tmp_path, start_worker):
    process, name = start_worker()
    assert files(tmp_path) == {name}
    process.communicate("\n")
    assert process.returncode == 0
    assert files(tmp_path) == set()


def test_a_worker_knows_itself_and_no_stranger(tmp_path):
    with WorkerLock(tmp_path / "new" / "study") as own, own.hold():
        assert own.is_alive(own.name)
        assert not own.is_alive("nobody")
        assert not own.is_alive(None)
        assert own.list_others() == []


def test_a_worker_that_was_only_prepared_is_not_there(tmp_path):
    WorkerLock(tmp_path)
    with WorkerLock(tmp_path) as own, own.hold():
        assert own.list_others() == []


def test_the_lock_keeps_another_process_out(tmp_path, start_worker, impatient):
    process, _ = start_worker("locked")
    own = WorkerLock(tmp_path)
    with pytest.raises(Timeout), own.hold():
        pass
    process.kill()
    process.wait()
    with own.hold():
        pass


def test_the_lock_may_be_nested_and_holds_until_the_outermost_end(tmp_path, impatient):
    own, other = WorkerLock(tmp_path), WorkerLock(tmp_path)
    with own.hold():
        with own.hold():
            pass
        with pytest.raises(Timeout), other.hold():
            pass
    with other.hold():
        pass


@pytest.mark.skipif(sys.platform == "win32", reason="flock")
def test_a_study_where_the_file_system_has_no_locks_is_refused_in_a_line(tmp_path, monkeypatch):
    def unknown(descriptor, operation):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", unknown)
    with pytest.raises(ConfigError, match=r"has no locks \(Function not implemented\); choose"), WorkerLock(tmp_path):
        pass


def test_of_several_that_leave_one_is_the_last(tmp_path):
    with WorkerLock(tmp_path) as first, WorkerLock(tmp_path) as second, WorkerLock(tmp_path) as third:
        assert first.leave() == sorted([second.name, third.name])
        assert third.leave() == [second.name]
        assert second.leave() == []
        with first.hold():
            assert not second.is_alive(third.name)  # also for one that has left itself


@pytest.mark.parametrize(
    ("here", "there", "shared"),
    [
        ("node", "elsewhere", False),
        ("node", "node-1", False),
        ("node", "node-1-2", False),
        ("node-1", "node", False),
        ("node", "node.local", False),
        ("a-b.node-1", "a-b.node-1", True),
    ],
)
def test_a_machine_is_shared_by_workers_of_just_its_name(tmp_path, monkeypatch, here, there, shared):
    monkeypatch.setattr("socket.gethostname", lambda: there)
    far = WorkerLock(tmp_path)
    monkeypatch.setattr("socket.gethostname", lambda: here)
    with far, WorkerLock(tmp_path) as near, near.hold():
        assert near.list_others() == [far.name]
        assert near.shares_host() is shared
