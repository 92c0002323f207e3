"""A command outlives whatever it prints to."""

import os
import shlex
import subprocess
import sys

import pytest

from vbot_train.terminal import show_cursor

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="pseudo terminals, and redirections of a POSIX shell")

SCRIPT = """
import sys
from pathlib import Path
from vbot_train.terminal import detach_from_terminal
detach_from_terminal()
print("ready", flush=True)
sys.stdin.readline()
for _ in range(3):
    print("does anybody listen?", flush=True)
Path(sys.argv[1]).write_text("in order")
"""


def test_what_is_printed_to_a_reader_that_has_gone_does_no_harm(tmp_path):
    done = tmp_path / "done"
    command = [sys.executable, "-c", SCRIPT, str(done)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    process.stdout.close()
    _, errors = process.communicate(b"go on\n", timeout=20)
    assert (process.returncode, done.read_text(encoding="utf-8"), errors) == (0, "in order", b"")


@posix_only
def test_what_is_printed_to_a_terminal_that_closed_does_no_harm(tmp_path):
    done = tmp_path / "done"
    ours, theirs = os.openpty()
    command = [sys.executable, "-c", SCRIPT, str(done)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=theirs, stderr=subprocess.PIPE)
    os.close(theirs)
    assert os.read(ours, 100).strip() == b"ready"
    os.close(ours)
    _, errors = process.communicate(b"go on\n", timeout=20)
    assert (process.returncode, done.read_text(encoding="utf-8"), errors) == (0, "in order", b"")


WRITING = """
import sys
from pathlib import Path
from vbot_train.terminal import detach_from_terminal
detach_from_terminal()
with Path(sys.argv[1]).open("w", encoding="utf-8") as file:
    for stream in (sys.stdout, sys.stderr):
        print("does anybody listen? \u2713", file=stream, flush=True)
    file.write("in order")
"""


@posix_only
@pytest.mark.parametrize("redirection", [">/dev/full 2>&1", ">&- 2>&-", "<&- >&- 2>&-"])
def test_what_is_printed_where_nothing_can_be_written_does_no_harm(tmp_path, redirection):
    command = f"{shlex.quote(sys.executable)} -c {shlex.quote(WRITING)} done {redirection}"
    assert subprocess.run(command, shell=True, cwd=tmp_path, timeout=20).returncode == 0
    assert (tmp_path / "done").read_text(encoding="utf-8") == "in order"  # no descriptor that was closed was reused


def test_a_letter_that_the_terminal_does_not_know_does_no_harm(tmp_path):
    ascii_only = {**os.environ, "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-c", WRITING, str(tmp_path / "done")]
    said = subprocess.run(command, env=ascii_only, capture_output=True, timeout=20)
    assert (said.returncode, said.stdout) == (0, b"does anybody listen? ?\n")


@posix_only
def test_a_terminal_gets_its_cursor_back(monkeypatch):
    ours, theirs = os.openpty()
    with os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stdout", terminal)
        show_cursor()
        assert os.read(ours, 100).startswith(b"\x1b[?25h")
    os.close(ours)


def test_what_is_no_terminal_has_no_cursor(monkeypatch, tmp_path):
    with (tmp_path / "log").open("w", encoding="utf-8") as log:
        monkeypatch.setattr(sys, "stdout", log)
        show_cursor()
    assert (tmp_path / "log").read_text(encoding="utf-8") == ""
