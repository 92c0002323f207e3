"""What pruning saves, and whether it loses the winner.

python benchmarks/pruning.py

Three times, with seeds of their own: 20 short trials of search=full without a pruner, and the same 20 points with
pruner=halving. Both winners are then trained at full length; the spread to hold the difference against is that of the
default configuration at full length over five seeds.
"""

import argparse
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from vbot_train.training.result import TrialResult

METRIC = "episode_reward_mean"
SHORT = ["training=quick", "training.env_steps=300000", "training.evaluations=8", "training.evaluation_episodes=256"]
FULL = ["training=quick", "training.env_steps=900000", "training.evaluations=5", "training.evaluation_episodes=512"]
ONE_THREAD = ["training.torch_threads=1", "simulation.threads=1"]
LINE = [sys.executable, "-m", "vbot_train"]


def main() -> None:
    """Print a line for each repetition, and the sum. Studies that are there already are not run again."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--pruner", default="halving")
    parser.add_argument("--folder", type=Path, default=Path("multirun/pruning"), help="where its studies are kept")
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    search(folder, "default", *FULL, "seed=1,2,3,4,5")
    rewards = [result.metrics[METRIC] or 0.0 for result in results(folder, "default")]
    spread = statistics.stdev(rewards)
    print(f"default at full length, 5 seeds: mean {statistics.mean(rewards):.2f}, standard deviation {spread:.2f}")
    for seed in range(1, arguments.repeats + 1):
        repetition(folder, seed, arguments.pruner, spread)


def repetition(folder: Path, seed: int, pruner: str, spread: float) -> None:
    """Search both ways, train both winners, print."""
    steps, ways = {}, ("none", pruner)
    for way in ways:
        study = f"{way}{seed}"
        search(folder, study, "search=full", "search.max_trials=20", *SHORT, f"pruner={way}", f"seed={seed}")
        steps[way] = sum(result.env_steps for result in results(folder, study))
    with ThreadPoolExecutor() as both:
        rewards = both.map(lambda way: train_winner(folder, f"{way}{seed}", 100 + seed), ways)
    winners = dict(zip(ways, rewards, strict=True))
    pruned = sum(result.status == "pruned" for result in results(folder, f"{pruner}{seed}"))
    lacks = winners["none"] - winners[pruner]
    print(
        f"seed {seed}: {steps[pruner] / steps['none']:.2f} of the env steps, {pruned} of 20 pruned;"
        f" winners at full length {winners['none']:.2f} without, {winners[pruner]:.2f} with {pruner}:"
        f" {lacks / spread:+.2f} standard deviations lost",
        flush=True,
    )


def search(folder: Path, study: str, *arguments: str) -> None:
    """Run or continue a search."""
    line = [*LINE, "-m", f"study={study}", "search.confirm.top_k=0", *arguments]
    subprocess.run(line, cwd=folder, check=True, stdout=subprocess.DEVNULL)


def train_winner(folder: Path, study: str, seed: int) -> float:
    """Train the best configuration of a study at full length, on one thread. Returns its held-out reward."""
    directory = folder / "outputs" / f"{study}-winner"
    if not (directory / "result.yaml").exists():
        best = ["--config-dir", f"multirun/{study}/analysis", "experiment=best", *FULL, *ONE_THREAD, f"seed={seed}"]
        line = [*LINE, *best, f"hydra.run.dir={directory}"]
        subprocess.run(line, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return TrialResult.load(directory).metrics[METRIC] or 0.0


def results(folder: Path, study: str) -> list[TrialResult]:
    """The results of a study's trials."""
    return [TrialResult.load(path) for path in sorted((folder / "multirun" / study / "trials").iterdir())]


if __name__ == "__main__":
    main()
