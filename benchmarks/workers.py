"""How many trials an hour gives with one worker and with two.

python benchmarks/workers.py

Four trials of one configuration on four seeds: two workers (one thread each, as the search decides), one worker on one
thread, one worker on all cores; in turn, several times over. Counted from the start of the first trial to the end of
the last. Nothing else may run on the machine.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import optuna

LINE = [sys.executable, "-m", "vbot_train", "-m", "seed=1,2,3,4", "study=speed"]
WAYS = {
    "workers=2": ["workers=2"],
    "workers=1, one thread": ["workers=1", "simulation.threads=1", "training.torch_threads=1"],
    "workers=1, all cores": ["workers=1"],
}


def main() -> None:
    """Print trials per hour, and how the ways compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--env-steps", type=int, default=150_000)
    parser.add_argument("--training", default="quick", help="option of the group training: how many robots")
    arguments = parser.parse_args()
    length = [f"training={arguments.training}", f"training.env_steps={arguments.env_steps}"]
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    rounds = []
    for repeat in range(arguments.repeats):
        speeds = {way: trials_per_hour([*keys, *length]) for way, keys in WAYS.items()}
        rounds.append(speeds)
        print(f"round {repeat}: " + ", ".join(f"{way} {speed:.0f}/h" for way, speed in speeds.items()), flush=True)
    first, *others = WAYS
    for other in others:
        ratios = [speeds[first] / speeds[other] for speeds in rounds]
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        print(f"{first} gives {statistics.median(ratios):.2f} times the trials of {other} ({spread})")


def trials_per_hour(keys: list[str]) -> float:
    """Run the four trials."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([*LINE, *keys], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        database = Path(folder) / "multirun" / "speed" / "study.db"
        trials = optuna.load_study(study_name="speed", storage=f"sqlite:///{database}").trials
    begun = min(trial.datetime_start for trial in trials if trial.datetime_start)
    ended = max(trial.datetime_complete for trial in trials if trial.datetime_complete)
    return len(trials) / (ended - begun).total_seconds() * 3600


if __name__ == "__main__":
    main()
