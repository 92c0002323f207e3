"""What a trial costs beside its training.

python benchmarks/overhead.py

Twenty trials that only import torch, skrl and mujoco, one at a time: wall clock of each. Then a thousand that do
nothing, two at a time: CPU time of the search's own process for each, by hundreds. Beside it stands that of the trials'
processes, which all do the same: where it grows, the machine has become slower.
"""

import argparse
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

IDLE = Path(__file__).with_name("idle.py")
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Print both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--method", default="bayesian", help="bayesian looks at all earlier trials, random at none")
    arguments = parser.parse_args()
    few, many = (wall_clock_s(trials) for trials in (1, 21))
    print(f"trials that import torch, skrl and mujoco: {(many - few) / 20:.2f} s each, one at a time", flush=True)
    own_share(arguments.trials, arguments.method)


def start(folder: str, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
    """Start a search whose trials train nothing."""
    line = [
        sys.executable,
        str(IDLE),
        "-m",
        "search=full",
        "scheduler=none",
        "search.confirm=none",
        "study=idle",
        *arguments,
    ]
    return subprocess.Popen(line, cwd=folder, stdout=subprocess.DEVNULL, env={**os.environ, **environment})


def wall_clock_s(trials: int) -> float:
    """Wall clock of a whole search with one worker [s]."""
    with tempfile.TemporaryDirectory() as folder:
        begun = time.monotonic()
        assert start(folder, f"search.max_trials={trials}", "workers=1", IDLE_IMPORT="1").wait() == 0
        return time.monotonic() - begun


def own_share(trials: int, method: str) -> None:
    """Print the CPU time that the search's own process spends on each trial, by hundreds."""
    with tempfile.TemporaryDirectory() as folder:
        search = start(folder, f"search.max_trials={trials}", "workers=2", f"method={method}")
        directory, now_s = Path(folder) / "multirun" / "idle" / "trials", (0.0, 0.0)
        for mark in range(0, trials + 1, 100):
            while search.poll() is None and not (directory / f"{max(mark - 1, 0):03d}" / "result.yaml").exists():
                time.sleep(0.05)
            before_s, now_s = now_s, cpu_times_s(search.pid)
            if mark:
                own, theirs = ((now - before) / 100 for now, before in zip(now_s, before_s, strict=True))
                hundred = f"{method}: trials {mark - 100:>4} to {mark - 1:>4}"
                print(f"{hundred}: {own:.3f} s of CPU each, theirs {theirs:.2f} s", flush=True)
        search.wait()


def cpu_times_s(pid: int) -> tuple[float, float]:
    """CPU time of a process and of its children that have ended [s]; of one that has ended itself, nothing is known."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except FileNotFoundError:
        return math.nan, math.nan
    user, system, childrens_user, childrens_system = (int(field) / TICKS_PER_S for field in fields[11:15])
    return user + system, childrens_user + childrens_system


if __name__ == "__main__":
    main()
