"""A trial's process: what it sends, how it is asked to stop, and what is said of one that leaves no result."""

import json
import subprocess
import sys
import time

import pytest

from vbot_train.search.execution import trial_process
from vbot_train.search.execution.trial_process import TrialProcess

ECHO = """
import sys
from vbot_train.training.channel import Channel
from vbot_train.training.stop import StopRequest
stop = StopRequest()
channel = Channel(stop)
"""


@pytest.fixture
def start(tmp_path, monkeypatch):
    """``start(code)``: a trial that runs a few lines of Python instead of training."""
    started = []

    def make(code):
        (tmp_path / "lines.py").write_text(code, encoding="utf-8")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
        started.append(TrialProcess(tmp_path, 7, module="lines"))
        return started[-1]

    yield make
    for running in started:
        running.process.kill()
        running.process.wait()


def wait_for(running, count):
    """The first messages of a trial."""
    messages, deadline = [], time.monotonic() + 20
    while len(messages) < count:
        assert time.monotonic() < deadline, messages
        messages += running.read_messages()
        time.sleep(0.01)
    return messages


@pytest.mark.parametrize(
    ("code", "killed", "cause"),
    [
        ("", False, "the trial's process ended without a result, see train.log"),
        ("raise SystemExit(3)", False, "the trial's process ended with code 3, see train.log"),
        ("import os; os.kill(os.getpid(), 9)", True, "the trial's process was killed (signal 9); out of memory?"),
        ("import os; os.kill(os.getpid(), 15)", True, "the trial's process was killed (signal 15); out of memory?"),
        ("import os; os.abort()", False, "the trial's process ended with code -6, see train.log"),
        ("raise SystemExit(75)", True, "the trial's process was killed"),  # it was told to stop, by somebody else
    ],
)
def test_of_a_process_without_a_result_its_end_is_the_cause(start, code, killed, cause):
    running = start(code)
    running.wait()
    assert (running.was_killed, running.describe_end()) == (killed, cause)


def test_what_a_trial_sends_arrives_in_order_and_what_it_prints_goes_to_its_log(start, tmp_path):
    running = start(
        ECHO
        + """
print("printed", flush=True)
channel.send({"kind": "begun", "env_steps": 100})
channel.send({"kind": "state", "env_steps": 100})
channel.send({"kind": "update", "env_steps": 150, "reward": float("nan")})
channel.close()
"""
    )
    running.wait()
    messages = list(running.read_messages())
    assert [message["kind"] for message in messages] == ["begun", "state", "update"]
    assert (running.from_env_steps, running.state_env_steps, running.env_steps) == (100, 100, 150)
    assert not running.has_advanced
    assert (tmp_path / "train.log").read_text(encoding="utf-8") == "printed\n"


def test_a_trial_hears_why_it_is_to_stop_and_only_the_first_time(start):
    running = start(
        ECHO
        + """
import time
channel.send({"kind": "begun", "env_steps": 0})
while stop.asked is None:
    time.sleep(0.01)
channel.send({"kind": "heard", "status": stop.asked.status, "cause": stop.asked.cause})
channel.close()
"""
    )
    wait_for(running, 1)
    running.stop("paused", "others are better")
    running.stop("interrupted", "the search was stopped")
    (heard,) = wait_for(running, 1)
    assert heard == {"kind": "heard", "status": "paused", "cause": "others are better"}
    running.wait()
    assert running.asked == ("paused", "others are better") and not running.was_killed


def test_a_trial_that_does_not_stop_is_killed_after_its_grace(start, monkeypatch):
    monkeypatch.setattr(trial_process, "GRACE_S", 0.3)
    running = start("import time; time.sleep(60)")
    running.stop("timeout", "too long")
    assert not running.has_ended()
    time.sleep(0.5)
    assert running.has_ended() and running.process.returncode == -9
    assert not running.was_killed  # but by its worker


def test_a_trial_whose_worker_dies_is_asked_to_stop(start, tmp_path):
    running = start(
        ECHO
        + """
import pathlib, time
channel.send({"kind": "begun", "env_steps": 0})
while stop.asked is None:
    time.sleep(0.01)
pathlib.Path(__file__).with_name("heard").write_text(stop.asked.status + ": " + stop.asked.cause)
"""
    )
    wait_for(running, 1)
    running.process.stdin.close()  # as the system does
    running.wait()
    assert (tmp_path / "heard").read_text(encoding="utf-8") == "interrupted: its worker is gone"


def test_a_trial_never_waits_for_a_worker_that_does_not_read(tmp_path):
    """A hundred times what a pipe holds is sent while nobody reads there."""
    code = """
import time
begin = time.monotonic()
for number in range(6_400):
    channel.send({"kind": "update", "env_steps": number, "padding": "x" * 1000})
print(time.monotonic() - begin, flush=True)
"""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen([sys.executable, "-c", ECHO + code], **pipes)
    assert float(process.stderr.readline()) < 5
    process.kill()
    process.communicate()


def test_a_trial_runs_on_while_the_host_sleeps(start, monkeypatch):
    running, now = start("import time; time.sleep(60)"), time.time()
    monkeypatch.setattr(time, "time", lambda: now + 3600)
    assert running.runtime_s == pytest.approx(3600, abs=5)


def test_half_a_line_of_a_trial_that_was_killed_is_dropped(start):
    running = start(
        f"import os; os.write(1, {json.dumps({'kind': 'state', 'env_steps': 5})!r}.encode() + b'\\n{{\"kind')"
    )
    running.wait()
    assert list(running.read_messages()) == [{"kind": "state", "env_steps": 5}]
