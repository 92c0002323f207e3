"""Kill a search at a random moment, start it again, and see whether it ends as if nothing had happened.

python benchmarks/kill.py --repeats 20
python benchmarks/kill.py --repeats 20 --scheduler halving

Each time: 12 random trials with two workers, kill -9 of the search's process group and of its trials, which are in
groups of their own, and the same line again. Compared with a search that was never stopped: every ``result.yaml`` and
``progress.csv``, wall clock apart. Counted: trials that had begun when they were killed, and went on from a state.
With a scheduler, what is promoted depends on who comes first: completed trials are compared with those of the search
that was never stopped and has no scheduler, of paused ones the rows must be its first, and none may be left to promote.
"""

import argparse
import csv
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import optuna
import yaml
from optuna.trial import FrozenTrial

from vbot_train.study.accounting import TrialCounts
from vbot_train.study.lives import read_lives
from vbot_train.study.record import StudyRecord
from vbot_train.training.result import TrialResult

TRIALS = 12
RANGES = ["ppo.learning_rate=tag(log,interval(1e-4,1e-3))", "ppo.gae_lambda=interval(0.9,0.99)"]  # equally fast
ASK = ["method=random", *RANGES, "training=smoke", "training.evaluations=12", "search.confirm.top_k=0"]
LINE = [sys.executable, "-m", "vbot_train", "-m", *ASK, "study=killed", "workers=2", f"search.max_trials={TRIALS}"]
RUNGS = {"none": [], "halving": ["scheduler.rungs=[0.25,0.5]"]}  # early ones, so that more is paused
CLOCKS = ("wall_time_s", "env_steps_per_s")


def main() -> None:
    """Print a line for every repetition, and the sum."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scheduler", default="none", choices=RUNGS)
    parser.add_argument("overrides", nargs="*", default=["training.env_steps=15_360"], help="that make trials longer")
    arguments = parser.parse_args()
    moments = random.Random(arguments.seed)
    line = [*LINE, *arguments.overrides, f"scheduler={arguments.scheduler}", *RUNGS[arguments.scheduler]]
    with tempfile.TemporaryDirectory() as folder:
        begin = time.monotonic()
        subprocess.run(
            [*line, "scheduler=none", "scheduler.rungs=[]"], cwd=folder, check=True, stdout=subprocess.DEVNULL
        )
        whole_s = time.monotonic() - begin
        whole = read_trials(study_in(Path(folder)))
        times = sorted(TrialResult.load(path).wall_time_s for path in directories(study_in(Path(folder))))
    print(f"never stopped: {whole_s:.0f} s, a trial {times[0]:.1f} to {times[-1]:.1f} s", flush=True)
    good = continued = 0
    for repeat in range(arguments.repeats):
        with tempfile.TemporaryDirectory() as folder:
            longest_s = whole_s if arguments.scheduler == "none" else whole_s / 2
            held, from_state = kill_and_resume(repeat, line, Path(folder), moments.uniform(3.0, longest_s), whole)
            good, continued = good + held, continued + from_state
    print(f"{good} of {arguments.repeats} as if nothing had happened; {continued} trials went on from a state")


def kill_and_resume(
    repeat: int, line: list[str], folder: Path, moment_s: float, whole: dict[str, Any]
) -> tuple[bool, int]:
    """One repetition. Returns whether all was well, and how many trials went on from a state."""
    search = subprocess.Popen(line, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT, process_group=0)
    time.sleep(moment_s)
    with suppress(ProcessLookupError):  # it may have ended just now
        os.killpg(search.pid, signal.SIGKILL)
    for trial in processes_in(folder):
        os.kill(trial, signal.SIGKILL)
    search.wait()
    finished = len(list(study_in(folder).glob("trials/*/result.yaml")))
    again = subprocess.run(line, cwd=folder, capture_output=True, encoding="utf-8")
    now, trials = read_trials(study_in(folder)), load_trials(study_in(folder))
    lives = [read_lives(trial) for trial in trials]
    checks = {
        "exit code 0": again.returncode == 0,
        f"{TRIALS} directories": sorted(now) == [f"{number:03d}" for number in range(TRIALS)],
        "results and progress equal": all(is_part(now[name], whole[name]) for name in now),
        "completed or paused, none to promote": is_settled(study_in(folder), trials, now),
    }
    bad = [name for name, held in checks.items() if not held]
    interrupted = sum(len(each) > 1 for each in lives)
    from_state = sum((each[-1].from_env_steps or 0) > 0 for each in lives if len(each) > 1)
    print(
        f"{repeat:>3}  killed after {moment_s:5.1f} s with {finished:>2} finished, {interrupted} interrupted,"
        f" {from_state} went on from a state  {bad or 'ok'}",
        flush=True,
    )
    if bad:
        print(again.stdout, again.stderr, *differences(now, whole), sep="\n")
    return not bad, from_state


def study_in(folder: Path) -> Path:
    """The study's directory."""
    return folder / "multirun" / "killed"


def directories(study: Path) -> list[Path]:
    """Those of its trials."""
    return sorted((study / "trials").iterdir())


def read_trials(study: Path) -> dict[str, Any]:
    """What every trial left, by the name of its directory, wall clock apart."""
    return {path.name: (read_result(path), read_progress(path)) for path in directories(study)}


def is_part(now: Any, whole: Any) -> bool:
    """Whether a trial ended like the one that was never stopped, or has its first rows."""
    (result, rows), (_, whole_rows) = now, whole
    return now == whole if result else rows == whole_rows[: len(rows)]


def is_settled(study: Path, trials: list[FrozenTrial], now: dict[str, Any]) -> bool:
    """Whether some trial is completed, every other is paused, and none of these may go on."""
    record = StudyRecord.read(study)
    assert record is not None
    counts = TrialCounts(trials, record.retries, rungs=record.rungs)
    completed = sum(result is not None for result, _ in now.values())
    is_left = counts.find_promotable() or counts.find_promotable(is_last=True)
    return completed > 0 and completed + len(counts.paused) == TRIALS and is_left is None


def read_result(directory: Path) -> dict[str, Any] | None:
    """A result without its wall clock; None of a paused trial."""
    if not (directory / "result.yaml").exists():
        return None
    content = yaml.safe_load((directory / "result.yaml").read_text(encoding="utf-8"))
    return {key: value for key, value in content.items() if key not in CLOCKS}


def read_progress(directory: Path) -> list[dict[str, str]]:
    """The rows of a trial's progress without their speed."""
    with (directory / "progress.csv").open(encoding="utf-8", newline="") as file:
        return [{key: value for key, value in row.items() if key not in CLOCKS} for row in csv.DictReader(file)]


def differences(now: dict[str, Any], whole: dict[str, Any]) -> Iterator[str]:
    """The trials that differ, for people."""
    for name in sorted(now.keys() | whole.keys()):
        if now.get(name) != whole.get(name):
            yield f"{name}: {now.get(name, ('missing',))[0]} instead of {whole.get(name, ('missing',))[0]}"


def load_trials(study: Path) -> list[FrozenTrial]:
    """The trials by the study's record."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.load_study(study_name="killed", storage=f"sqlite:///{study}/study.db").trials


def processes_in(folder: Path) -> list[int]:
    """Numbers of the processes of trials that work in a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has just ended
            if (process / "cwd").readlink() == folder.resolve() and b"--trial" in (process / "cmdline").read_bytes():
                found.append(int(process.name))
    return found


if __name__ == "__main__":
    main()
