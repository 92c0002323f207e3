"""Kill a chain at ten random moments, start it again each time, and see whether it ends as if nothing had happened.

python benchmarks/kill_chain.py --kills 10

A chain at smoke size: kill -9 of its process group, which the search of the step that runs belongs to, and of the
trials, which are in groups of their own; then the same line again. Checked against a chain that was never stopped: the
same studies with as many trainings in each stage. And: no configuration was trained twice on a seed, no finished
training was touched again, the hours used are within the budget.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from vbot_train.pipeline.state import ChainState
from vbot_train.study.loading import load_study

# Random searches try the same points whatever was interrupted, so the same configurations win.
# The goal is so large that untrained robots are in it at times: a search that never reaches it hands nothing on.
CHAIN = ["name=killed", "training=smoke", "env.goal_radius_m=4", "method=random", "scheduler=none", "workers=2"]
SIZES = ["budget_hours=0.2", "hp_trials=3", "reward_trials=2", "reward_generations=2"]
LINE = [sys.executable, "-m", "vbot_train.automl", *CHAIN, *SIZES]


def main() -> None:
    """Print a line for every kill, and what was checked at the end."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    moments = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as folder:
        begin = time.monotonic()
        subprocess.run(LINE, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        whole_s = time.monotonic() - begin
        whole = count_trainings(Path(folder))
    print(
        f"never stopped: {whole_s:.0f} s, {sum(whole.values())} trainings in {len(whole)} stages of studies", flush=True
    )
    with tempfile.TemporaryDirectory() as folder:
        stamps: dict[Path, int] = {}
        for kill in range(arguments.kills):
            moment_s = moments.uniform(3.0, max(2 * whole_s / arguments.kills, 10.0))
            run_and_kill(Path(folder), moment_s)
            stamps = read_stamps(Path(folder)) | stamps  # the first time that each was seen
            state = ChainState.read(chain_in(Path(folder)))
            stage = "before its first step" if state is None else state.stage
            print(f"{kill:>3}  killed after {moment_s:5.1f} s in {stage}, {len(stamps)} trainings finished", flush=True)
        done = subprocess.run(LINE, cwd=folder, capture_output=True, encoding="utf-8")
        report(done, Path(folder), whole, stamps)


def report(
    done: subprocess.CompletedProcess[str], folder: Path, whole: dict[str, int], stamps: dict[Path, int]
) -> None:
    """Print what was checked."""
    state, now = ChainState.read(chain_in(folder)), read_stamps(folder)
    assert state is not None
    checks = {
        "exit code 0": done.returncode == 0,
        "the same studies and trainings": count_trainings(folder) == whole,
        "none trained twice": all(len(set(found)) == len(found) for found in list_trainings(folder).values()),
        "no finished training touched": all(now[path] == stamp for path, stamp in stamps.items()),
        f"{state.hours_used:.3f} h of {state.budget_hours:g} h": state.hours_used <= state.budget_hours,
    }
    for name, held in checks.items():
        print(f"{'ok ' if held else 'BAD'}  {name}")
    if not all(checks.values()):
        print(done.stdout, done.stderr, count_trainings(folder), whole, sep="\n")


def run_and_kill(folder: Path, moment_s: float) -> None:
    """Run the chain for so long, then kill everything of it."""
    chain = subprocess.Popen(LINE, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT, process_group=0)
    time.sleep(moment_s)
    with suppress(ProcessLookupError):  # it may have ended just now
        os.killpg(chain.pid, signal.SIGKILL)
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has just ended
            if (process / "cwd").readlink() == folder.resolve() and b"--trial" in (process / "cmdline").read_bytes():
                os.kill(int(process.name), signal.SIGKILL)
    chain.wait()


def chain_in(folder: Path) -> Path:
    """The chain's directory."""
    return folder / "multirun" / "killed"


def list_trainings(folder: Path) -> dict[str, list[tuple[str, int]]]:
    """Configuration and seed of each training, by study and stage."""
    found = {}
    for record in sorted(chain_in(folder).glob("*/study.yaml")):
        study = load_study(record.parent)
        for stage, trials in (("search", study.trials), ("confirm", study.confirm), ("test", study.test)):
            found[f"{record.parent.name}, {stage}"] = [(str(trial.params), trial.result.seed) for trial in trials]
    return found


def count_trainings(folder: Path) -> dict[str, int]:
    """How many trainings each stage of each study has."""
    return {name: len(trainings) for name, trainings in list_trainings(folder).items()}


def read_stamps(folder: Path) -> dict[Path, int]:
    """When each training's result was written [ns]."""
    return {path: path.stat().st_mtime_ns for path in chain_in(folder).rglob("result.yaml")}


if __name__ == "__main__":
    main()
