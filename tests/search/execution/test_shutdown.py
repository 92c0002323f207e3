"""The first signal asks, the second ends."""

import signal
import subprocess
import sys
import time

import pytest

if sys.platform == "win32":
    pytest.skip("sends signals", allow_module_level=True)

SCRIPT = """
import sys, time
from vbot_train.search.execution.shutdown import ShutdownRequest
stop = ShutdownRequest()
def wait():
    print("ready", flush=True)
    deadline = time.monotonic() + 20
    while stop.number is None and time.monotonic() < deadline:
        time.sleep(0.02)
    print("asked", stop.number, flush=True)
    time.sleep(20 if "slow" in sys.argv else 0)
if "early" in sys.argv:
    wait()
else:
    with stop.stop_gently():
        wait()
"""


@pytest.fixture
def start():
    processes = []

    def make(*arguments, **options):
        command = [sys.executable, "-c", SCRIPT, *arguments]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **options)
        processes.append(process)
        assert process.stdout.readline() == "ready\n"
        return process

    yield make
    for process in processes:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_asks(start, number):
    process = start(preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL))  # the tests may run under nohup
    process.send_signal(number)
    assert process.communicate(timeout=10)[0] == f"asked {int(number)}\n"
    assert process.returncode == 0


def test_the_second_signal_ends_the_process_whichever_it_is(start):
    process = start("slow")
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "asked 2\n"
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=5) == 143


def test_before_there_is_anything_to_put_in_order_the_first_one_ends_it(start):
    process = start("early")
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=5) == 130


def test_a_search_under_nohup_does_not_hear_that_its_terminal_is_gone(start):
    process = start("slow", preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    process.send_signal(signal.SIGHUP)
    time.sleep(0.3)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == "asked 15\n"
