"""Kill a search at a random moment, start it again, and see whether it ends as if nothing had happened.

python benchmarks/kill.py --repeats 20

Each time: 12 smoke trials with two workers, kill -9 of the whole process group, the same line again. Counted: trials
completed, files of trials that were changed after the kill, trials lost, and whether the analysis agrees with the
results.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from vbot_train.training.result import TrialResult

TRIALS = 12
ASK = ["search=full", "training=smoke", "search.confirm.top_k=0"]
LINE = [sys.executable, "-m", "vbot_train", "-m", *ASK, "study=killed", "workers=2"]
LONGEST_S = 45.0  # a whole search takes about as long


def main() -> None:
    """Print a line for every repetition, and the sum."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    moments = random.Random(arguments.seed)
    good = 0
    for repeat in range(arguments.repeats):
        with tempfile.TemporaryDirectory() as folder:
            good += kill_and_resume(repeat, Path(folder), moments.uniform(0.5, LONGEST_S))
    print(f"{good} of {arguments.repeats} as if nothing had happened")


def kill_and_resume(repeat: int, folder: Path, moment_s: float) -> bool:
    """One repetition. Returns whether all was well."""
    line = [*LINE, f"search.max_trials={TRIALS}"]
    process = subprocess.Popen(line, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT, process_group=0)
    time.sleep(moment_s)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    study = folder / "multirun" / "killed"
    before = contents(study)
    again = subprocess.run(line, cwd=folder, capture_output=True, encoding="utf-8")
    results = [TrialResult.load(path) for path in sorted((study / "trials").iterdir())]
    counts = {status: sum(r.status == status for r in results) for status in ("completed", "interrupted")}
    rewritten = [name for name, stamp in before.items() if contents(study).get(name) != stamp]
    numbers = [int(path.name) for path in sorted((study / "trials").iterdir())]
    analysis = yaml.safe_load((study / "analysis" / "hyperparameter_importance.yaml").read_text(encoding="utf-8"))
    best = max(result.metrics["episode_reward_mean"] for result in results if result.status == "completed")
    checks = {
        "exit code 0": again.returncode == 0,
        "12 completed": counts["completed"] == TRIALS,
        "nothing but interrupted trials beside them": sum(counts.values()) == len(results),
        "numbers dense": numbers == list(range(len(numbers))),
        "no directory written twice": not rewritten,
        "YAML counts": {key: analysis["trials"][key] for key in counts} == counts,
        "YAML best": analysis["top_5_configs"][0]["episode_reward_mean"] == best,
    }
    bad = [name for name, held in checks.items() if not held]
    finished = sum(name.endswith("result.yaml") for name in before)
    print(
        f"{repeat:>3}  killed after {moment_s:4.1f} s with {finished:>2} finished,"
        f" then {counts['completed']} completed, {counts['interrupted']} interrupted  {bad or 'ok'}",
        flush=True,
    )
    if bad:
        print(again.stdout, again.stderr, rewritten, sep="\n")
    return not bad


def contents(study: Path) -> dict[str, tuple[int, int]]:
    """Time stamp and size of every file of every trial, unfinished ones too."""
    files = [path for path in study.glob("trials/*/**/*") if path.is_file()]
    return {str(path): (path.stat().st_mtime_ns, path.stat().st_size) for path in files}


if __name__ == "__main__":
    main()
