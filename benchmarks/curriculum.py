"""A curriculum against direct training on the far ring: env steps to 95 % success.

python benchmarks/curriculum.py --seeds 42 43 44

Both are ordinary commands, side by side on one core each: ``train env=section001_far``, and the chain
``automl pipeline=rings env=section001_far``. Both have the same held-out evaluations, about every 75,000 env steps, of
128 episodes from the far ring (in the curriculum's last training). The curriculum's count includes its first two rings.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from vbot_train.training.progress import PROGRESS_CSV, read_whole_rows
from vbot_train.training.result import TrialResult

SHARED = ["env=section001_far", "training.selection_episodes=128", "training.torch_threads=1", "simulation.threads=1"]
SUCCESS = 0.95
RINGS = ("1-near", "2-middle", "3-outer")


def main() -> None:
    """Print a line for every seed, and the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[42, 43, 44])
    parser.add_argument("--directory", type=Path, help="where the runs are kept; without it they are removed")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = (arguments.directory or Path(scratch)).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        found = [compare(folder, seed) for seed in arguments.seeds]
    for name, column in zip(("direct", "curriculum"), zip(*found, strict=True), strict=True):
        reached = [steps for steps in column if steps is not None]
        median = f"{statistics.median(reached):,.0f}" if len(reached) == len(column) else "-"
        print(f"{name}: {SUCCESS:.0%} in {len(reached)} of {len(column)} seeds, median {median} env steps")


def compare(folder: Path, seed: int) -> tuple[int | None, int | None]:
    """Train both ways. Returns the env steps to success of direct training and of the curriculum."""
    direct, name = folder / f"direct-{seed}", f"rings-{seed}"
    typed = [*SHARED, f"seed={seed}"]
    lines = [
        ["vbot_train", *typed, "training.evaluations=40", f"hydra.run.dir={direct}"],
        ["vbot_train.automl", "pipeline=rings", *typed, "training.evaluations=12", f"name={name}", "budget_hours=1"],
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen([sys.executable, "-m", *line], cwd=folder, env=environment, stdout=subprocess.DEVNULL)
        for line in lines
    ]
    if codes := [code for process in processes if (code := process.wait())]:
        raise SystemExit(f"seed {seed}: exit codes {codes}")
    rings = [folder / "multirun" / name / ring for ring in RINGS]
    before = sum(TrialResult.load(ring).env_steps for ring in rings[:-1])
    outer = find_success(rings[-1])
    reached = find_success(direct), None if outer is None else before + outer
    for what, run, steps in zip(("direct", "curriculum"), (direct, rings[-1]), reached, strict=True):
        rate = TrialResult.load(run).metrics["success_rate"]
        print(
            f"seed {seed}  {what:<10}  {SUCCESS:.0%} after {steps or 0:>9,} env steps, at the end {rate:.1%}",
            flush=True,
        )
    print(f"seed {seed}  the curriculum's rings: {[TrialResult.load(ring).env_steps for ring in rings]}", flush=True)
    return reached


def find_success(run: Path) -> int | None:
    """Return the env steps at the first held-out evaluation with enough success; None without one."""
    rows = read_whole_rows(run / PROGRESS_CSV)
    rates = ((int(row["env_steps"]), row.get("selection_success_rate")) for row in rows)
    return next((steps for steps, rate in rates if rate and float(rate) >= SUCCESS), None)


if __name__ == "__main__":
    main()
