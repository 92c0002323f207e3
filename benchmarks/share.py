"""Let many workers work on one study, and see whether every feasible cell of a grid is trained exactly once.

python benchmarks/share.py

A grid of 40 smoke trials, of which rules forbid some, by 8 workers of one command and by 8 commands on one study.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import yaml

from vbot_train.training.result import TrialResult

GRID = ["ppo.learning_rate=1e-4,2e-4,4e-4,8e-4", "ppo.learning_epochs=1,2", "ppo.ratio_clip=0.1,0.15,0.2,0.25,0.3"]
RULE = "+search.constraints.mine='ppo.learning_rate > 5e-4 and ppo.ratio_clip > 0.18'"  # 1 x 2 x 3 of the 40 cells
CHEAP = ["training=smoke", "training.env_steps=768", "training.evaluation_episodes=4", "training.selection_episodes=2"]
FEASIBLE = 34
LINE = [sys.executable, "-m", "vbot_train", "-m", "study=shared", "search.confirm.top_k=0", *CHEAP, *GRID, RULE]


def main() -> None:
    """Print a line for each of the two ways."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=8)
    workers = parser.parse_args().workers
    run(f"{workers} workers of one command", [[*LINE, f"workers={workers}"]])
    run(f"{workers} commands of one worker", [[*LINE, "workers=1"]] * workers)


def run(name: str, lines: list[list[str]]) -> None:
    """Start the lines at once, wait for them, count."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.monotonic()
        processes = [
            subprocess.Popen(line, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8")
            for line in lines
        ]
        outputs = [process.communicate()[0] for process in processes]
        seconds = time.monotonic() - start
        study = Path(folder) / "multirun" / "shared"
        results = [TrialResult.load(path) for path in sorted((study / "trials").iterdir())]
        keys = ("learning_rate", "learning_epochs", "ratio_clip")
        cells = Counter(tuple(r.applied.get(key) for key in keys) for r in results if r.status == "completed")
        forbidden = sum(rate > 5e-4 and clip > 0.18 for rate, _, clip in cells)
        wrote = sum("analysis: " in output for output in outputs)
        counts = yaml.safe_load((study / "analysis" / "hyperparameter_importance.yaml").read_text(encoding="utf-8"))[
            "trials"
        ]
        print(
            f"{name}: exit codes {sorted({process.returncode for process in processes})}, {len(results)} trials,"
            f" {len(cells)} of {FEASIBLE} feasible cells, most often {max(cells.values())} time,"
            f" {forbidden} forbidden, {wrote} wrote the analysis of {counts['completed']} completed; {seconds:.0f} s",
            flush=True,
        )
        if len(cells) != FEASIBLE:
            print(*outputs, sep="\n")


if __name__ == "__main__":
    main()
