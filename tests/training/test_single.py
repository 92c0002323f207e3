"""A single run on the command line: what it leaves, however it ends and whoever disturbs it."""

import os
import signal
import subprocess
import sys
import time

import pytest

from vbot_train.config import load_recorded_config
from vbot_train.training.files import read_yaml
from vbot_train.training.result import TrialResult

SMOKE = ["training=smoke", "hydra.run.dir=run"]
LONG = [*SMOKE, "training.env_steps=10_000_000"]
SMALL = 100_000  # bytes: less than a checkpoint


@pytest.fixture
def start():
    """``start(folder, "training=smoke", ...)``: a run in a process of its own."""
    processes = []

    def begin(cwd, *arguments, **options):
        processes.append(start_run(cwd, *arguments, **options))
        return processes[-1]

    yield begin
    for process in processes:
        process.kill()
        process.communicate()


def start_run(cwd, *arguments, **options):
    command = [sys.executable, "-m", "vbot_train", *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "encoding": "utf-8"}
    return subprocess.Popen(command, cwd=cwd, **(pipes | options))


@pytest.fixture(scope="module")
def lonely_run(tmp_path_factory):
    """A folder with a run whose output nobody reads; its spawn radius came from the environment."""
    cwd = tmp_path_factory.mktemp("lonely")
    radius = 'env.spawn.max_radius_m="${oc.decode:${oc.env:R}}"'
    process = start_run(cwd, *SMOKE, radius, "storage=sqlite:///secret.db", env={**os.environ, "R": "3.5"})
    process.stdout.close()
    assert process.wait(timeout=60) == 0
    return cwd


def test_a_run_whose_reader_leaves_has_a_result(lonely_run):
    assert TrialResult.load(lonely_run / "run").status == "completed"
    assert (lonely_run / "run" / "checkpoints" / "last.pt").exists()


def test_a_run_is_recorded_as_it_ran(lonely_run):
    recorded = read_yaml(lonely_run / "run" / ".hydra" / "config.yaml")
    assert recorded["env"]["spawn"]["max_radius_m"] == 3.5
    assert recorded["storage"] is None
    for path in (lonely_run / "run" / ".hydra").iterdir():  # a storage's URL may hold a password
        assert "secret" not in path.read_text(encoding="utf-8")
    assert load_recorded_config(lonely_run / "run") == recorded  # without R


def test_a_run_starts_from_what_was_typed_where_it_was_typed(lonely_run, start):
    process = start(lonely_run, "training=smoke", "hydra.run.dir=next", "hydra.job.chdir=true", "init_from=run")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert load_recorded_config(lonely_run / "next")["init_from"] == str(lonely_run / "run")


def test_a_second_run_in_the_same_directory_changes_nothing_there(tmp_path, start):
    first = start(tmp_path, *LONG)
    wait_until((tmp_path / "run" / "progress.csv").exists, first)
    record = {path: path.read_bytes() for path in (tmp_path / "run" / ".hydra").iterdir()}
    second = start(tmp_path, *SMOKE, "seed=7")
    output, _ = second.communicate(timeout=60)
    assert (second.returncode, output) == (1, "hydra.run.dir=run: another run trains there; give another\n")
    assert {path: path.read_bytes() for path in (tmp_path / "run" / ".hydra").iterdir()} == record
    first.send_signal(signal.SIGTERM)
    output, _ = first.communicate(timeout=20)
    assert first.returncode == 143
    assert "interrupted: told to stop (SIGTERM); what was learned lies in" in output and "Traceback" not in output
    result = TrialResult.load(tmp_path / "run")
    assert (result.status, result.cause) == ("interrupted", "told to stop (SIGTERM)")
    assert "RunInterrupted" in (tmp_path / "run" / "error.txt").read_text(encoding="utf-8")


def test_a_closed_terminal_ends_a_run_before_it_trains_too(tmp_path, start):
    process = start(tmp_path, *LONG)
    record = tmp_path / "run" / ".hydra" / "config.yaml"
    wait_until(lambda: record.exists() and "study: sweep-" in record.read_text(encoding="utf-8"), process)
    process.send_signal(signal.SIGHUP)
    output, _ = process.communicate(timeout=20)
    assert process.returncode == 129, output
    assert "interrupted: told to stop (SIGHUP); what was learned lies in" in output and "Traceback" not in output
    assert TrialResult.load(tmp_path / "run").status == "interrupted"


def test_a_full_disk_is_told_in_a_line_and_leaves_no_half_file(tmp_path, start):
    resource = pytest.importorskip("resource", reason="a limit on the size of files")
    limit = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (SMALL, SMALL))}
    process = start(tmp_path, *SMOKE, stderr=subprocess.PIPE, **limit)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert errors.splitlines() == [f"[Errno 27] File too large; what was written before lies in {tmp_path / 'run'}"]
    assert TrialResult.load(tmp_path / "run").cause == "OSError: [Errno 27] File too large"
    assert "File too large" in (tmp_path / "run" / "error.txt").read_text(encoding="utf-8")
    assert list((tmp_path / "run" / "checkpoints").iterdir()) == []


def wait_until(is_so, process):
    deadline = time.monotonic() + 30
    while not is_so():
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.005)
