"""Stop trainings and continue them: whether they end as if never stopped, and what keeping the state costs.

python benchmarks/continue.py --json continue.json

Of section001 and section001_robust each: one training that is left alone, and one that is stopped by SIGTERM at five
random updates and continued by the same line, every time in a new process. Then what writing states takes, as a share
of a training with the default number of robots.
"""

import argparse
import csv
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
import yaml

from vbot_train.config.composition import compose_config
from vbot_train.training import training_run
from vbot_train.training.run_directory import state_path
from vbot_train.training.train import train

TASKS = ("section001", "section001_robust")
STOPS = 5
CLOCKS = ("wall_time_s", "env_steps_per_s")


def main() -> None:
    """Print a line for each training."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="of the updates at which trainings are stopped")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    parser.add_argument("overrides", nargs="*", help="of the config, as training.env_steps=100_000")
    arguments = parser.parse_args()
    figures = {}
    for task in TASKS:
        line = [f"env={task}", *arguments.overrides]
        with tempfile.TemporaryDirectory() as folder:
            figures[task] = {"equal": compare(line, Path(folder), random.Random(arguments.seed))}
            print(f"{task}: {figures[task]['equal']}", flush=True)
            figures[task] |= cost(line, Path(folder) / "cost")
            print(f"{task}: {figures[task]}", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2), encoding="utf-8")


def compare(line: list[str], folder: Path, moments: random.Random) -> dict[str, Any]:
    """Which files of a training that was stopped are those of one that was left alone."""
    config = compose_config(line)
    updates = config["training"]["env_steps"] // (config["training"]["num_envs"] * config["ppo"]["rollouts"])
    stops = sorted(moments.sample(range(1, updates), min(STOPS, updates - 1)))
    command = [sys.executable, "-m", "vbot_train", *line]
    subprocess.run([*command, "hydra.run.dir=whole"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    stopped_at = []
    for update in stops:
        process = subprocess.Popen([*command, "hydra.run.dir=stopped"], cwd=folder, stdout=subprocess.DEVNULL)
        while process.poll() is None and updates_of(folder / "stopped") < update:
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        process.wait()
        stopped_at.append(updates_of(folder / "stopped"))
    subprocess.run([*command, "hydra.run.dir=stopped"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    whole, stopped = (contents(folder / name) for name in ("whole", "stopped"))
    return {"stopped_after": stopped_at, "of": updates, **{name: same(whole[name], stopped[name]) for name in whole}}


def updates_of(directory: Path) -> int:
    """Rows of progress.csv."""
    path = directory / "progress.csv"
    return max(0, len(path.read_text(encoding="utf-8").splitlines()) - 1) if path.exists() else 0


def contents(directory: Path) -> dict[str, Any]:
    """What a training leaves, but for the clock."""
    result = yaml.safe_load((directory / "result.yaml").read_text(encoding="utf-8"))
    with (directory / "progress.csv").open(encoding="utf-8") as file:
        rows = [{key: value for key, value in row.items() if key not in CLOCKS} for row in csv.DictReader(file)]
    files = {name: torch.load(directory / "checkpoints" / name, weights_only=True) for name in ("best.pt", "last.pt")}
    return {"result.yaml": {k: v for k, v in result.items() if k not in CLOCKS}, "progress.csv": rows, **files}


def same(one: Any, other: Any) -> bool:
    """Whether two nested values are equal to the last digit."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else bool(one == other)


def cost(line: list[str], directory: Path) -> dict[str, Any]:
    """What the states of a whole training take, of its time and on the disk."""
    seconds, sizes, write = list[float](), list[int](), training_run.Run.save_state

    def timed(self: training_run.Run, recorder: Any) -> None:
        start = time.perf_counter()
        write(self, recorder)
        seconds.append(time.perf_counter() - start)
        sizes.append(state_path(directory).stat().st_size)

    training_run.Run.save_state = timed  # type: ignore[method-assign]
    result = train(compose_config(line), directory)
    training_run.Run.save_state = write  # type: ignore[method-assign]
    return {
        "states": len(seconds),
        "ms_each": round(1e3 * sum(seconds) / len(seconds), 1),
        "bytes": max(sizes),
        "wall_time_s": result.wall_time_s,
        "share": round(sum(seconds) / result.wall_time_s, 5),
    }


if __name__ == "__main__":
    main()
