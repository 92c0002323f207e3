"""Whole searches whose trials train nothing, for tests of a study's life."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest
import yaml

from vbot_train.training.progress import read_whole_rows
from vbot_train.training.result import TrialResult

IDLE = Path(__file__).parents[2] / "benchmarks" / "idle.py"
RATES = "ppo.learning_rate=1e-5,3e-5,1e-4,3e-4,1e-3,3e-3"
RANDOM = ["search=full", "method=random", "scheduler=none", "training=smoke"]
UNCONFIRMED = "search.confirm.top_k=0"  # later stages have tests of their own


class Searches:
    """Searches of study ``s`` in one directory."""

    def __init__(self, cwd):
        self.cwd = cwd
        self.processes = []
        self.study = cwd / "multirun" / "s"

    def start(self, *arguments, **environment):
        """Start one; ``environment`` is what idle.py looks at."""
        process = subprocess.Popen(
            [sys.executable, str(IDLE), "-m", "study=s", UNCONFIRMED, *arguments],
            cwd=self.cwd,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            process_group=0,
            env={**os.environ, **environment},
        )
        self.processes.append(process)
        return process

    def run(self, *arguments, code=0, **environment):
        """Run one to its end. Returns what it printed."""
        process = self.start(*arguments, **environment)
        output, _ = process.communicate(timeout=120)
        assert process.returncode == code, output
        assert "Traceback" not in output, output
        return output

    def directories(self):
        return sorted((self.study / "trials").iterdir())

    def results(self):
        """Of the trials that have ended."""
        return [TrialResult.load(path) for path in self.directories() if (path / "result.yaml").exists()]

    def statuses(self):
        """Of all trials; without a result it was interrupted, and can be continued."""
        ended = {result.trial: result.status for result in self.results()}
        return [ended.get(int(path.name), "interrupted") for path in self.directories()]

    def attributes(self, number):
        """What the study says of a trial."""
        return study_of(self).trials[number].user_attrs

    def analysis(self):
        return yaml.safe_load((self.study / "analysis" / "hyperparameter_importance.yaml").read_text(encoding="utf-8"))

    def best(self, numbers):
        """These trials, best first."""
        values = {result.trial: result.metrics["episode_reward_mean"] for result in self.results()}
        return sorted(numbers, key=lambda number: -values[number])

    def rates(self, status="completed"):
        return sorted(result.applied["learning_rate"] for result in self.results() if result.status == status)

    def stamps(self):
        """Time stamp of every file of the trials that have ended."""
        ended = [path.parent for path in self.study.glob("trials/*/result.yaml")]
        return {path: path.stat().st_mtime_ns for folder in ended for path in folder.rglob("*") if path.is_file()}

    def wait_for_results(self, count):
        deadline = time.monotonic() + 60
        while len(list(self.study.glob("trials/*/result.yaml"))) < count:
            assert time.monotonic() < deadline, "waited too long"
            time.sleep(0.05)

    def wait_for_training(self, number):
        path = self.study / "trials" / f"{number:03d}" / "progress.csv"
        deadline = time.monotonic() + 60
        while not path.exists():
            assert time.monotonic() < deadline, "waited too long"
            time.sleep(0.05)

    def wait_for_rows(self, number, count):
        """Until a trial has written so many rows of progress."""
        path = self.study / "trials" / f"{number:03d}" / "progress.csv"
        deadline = time.monotonic() + 60
        while not path.exists() or len(read_whole_rows(path)) < count:
            assert time.monotonic() < deadline, "waited too long"
            time.sleep(0.02)


def kill_group(process):
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def study_of(searches):
    return optuna.load_study(study_name="s", storage=f"sqlite:///{searches.study}/study.db")


def trial_processes(cwd):
    """Process numbers of the trials in training that were started in ``cwd``."""
    if sys.platform != "linux":
        pytest.skip("looks for processes in /proc")
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if b"--trial" in (process / "cmdline").read_bytes() and (process / "cwd").readlink() == cwd:
                found.append(int(process.name))
        except OSError:  # it has just ended
            continue
    return found
