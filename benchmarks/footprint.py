"""What a training takes: seconds to its first update, memory, and what twice as much costs.

python benchmarks/footprint.py

Each training is a command of its own in a temporary directory; its memory is that of its process, sampled while it
runs. Where twice as much is compared, seconds are those of rollouts and updates: start and evaluation cost the same
however long a training is.
"""

import argparse
import csv
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from vbot_train.config.validation import compose_validated

LINE = [sys.executable, "-m", "vbot_train", "hydra.run.dir=run"]
BRIEF = ["training.evaluations=1", "training.selection_episodes=1", "training.evaluation_episodes=1"]
SAMPLE_S = 0.05
TAIL = 4096  # bytes that hold the last row of a progress.csv, which is written row by row
MEGA = 1_000_000


@dataclass
class Footprint:
    """What was seen of one training."""

    first_update_s: float = 0.0  # from the start of the process
    training_s: float = 0.0  # rollouts and updates alone
    peak_rss_mb: float = 0.0  # as the kernel knows it
    rss_mb: dict[int, float] = field(default_factory=dict)  # by env steps trained

    def rss_at(self, env_steps: int) -> float:
        """Memory when so many env steps were trained, or at the end of a training that was shorter."""
        later = [at for at in self.rss_mb if at >= env_steps]
        return self.rss_mb[min(later) if later else max(self.rss_mb)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=10 * MEGA, help="env steps of the long training")
    parser.add_argument("--updates", type=int, default=20, help="updates of the large and of the doubled trainings")
    parser.add_argument("--envs", type=int, default=2048, help="robots of the large training")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("keys", nargs="*", help="overrides of every training, such as simulation.threads=1")
    arguments = parser.parse_args()
    keys = arguments.keys
    figures = start(keys) | growth(arguments.steps, keys) | doubling(arguments.envs, arguments.updates, keys)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    table = Table("", "measured")
    for name, value in figures.items():
        table.add_row(name.replace("_", " "), f"{value:,.2f}")
    Console().print(table)


def start(keys: list[str]) -> dict[str, float]:
    """Seconds from the start of a process to its first update."""
    return {"first_update_s": train(rollout(keys), [*BRIEF, *keys]).first_update_s}


def growth(env_steps: int, keys: list[str]) -> dict[str, float]:
    """Memory at a tenth of one long training, and at its end."""
    long = train(env_steps, [*BRIEF, *keys])
    early, late = long.rss_at(env_steps // 10), long.rss_at(env_steps)
    return {
        f"rss_mb_at_{env_steps // 10}_env_steps": early,
        f"rss_mb_at_{env_steps}_env_steps": late,
        "rss_growth": late / early,
    }


def doubling(num_envs: int, updates: int, keys: list[str]) -> dict[str, float]:
    """How many times longer a training takes with twice the robots or env steps, and the memory of the large one."""
    half, whole = robots(num_envs // 2, keys), robots(num_envs, keys)
    once, longer = (train(times * updates * rollout(half), [*BRIEF, *half]) for times in (1, 2))
    wider = train(updates * rollout(whole), whole)
    return {
        "twice_the_robots_cost": wider.training_s / once.training_s,
        "twice_the_env_steps_cost": longer.training_s / once.training_s,
        f"peak_rss_mb_of_{num_envs}_robots": wider.peak_rss_mb,
        f"rss_mb_at_the_end_of_{num_envs}_robots": wider.rss_at(sys.maxsize),
    }


def robots(num_envs: int, keys: list[str]) -> list[str]:
    """Overrides for another number of robots, mini-batches as large as they were."""
    config = compose_validated(keys)
    mini_batches = max(1, config.ppo.mini_batches * num_envs // config.training.num_envs)
    return [*keys, f"training.num_envs={num_envs}", f"ppo.mini_batches={mini_batches}"]


def rollout(keys: list[str]) -> int:
    """Env steps per update."""
    config = compose_validated(keys)
    return int(config.training.num_envs * config.ppo.rollouts)


def train(env_steps: int, keys: list[str]) -> Footprint:
    """Run one training and look at it until it ends."""
    command = [*LINE, *keys, f"training.env_steps={env_steps}"]
    with tempfile.TemporaryDirectory() as folder:
        begun, progress = time.monotonic(), Path(folder) / "run" / "progress.csv"
        with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL) as process:
            seen = watch(process, progress, begun)
        seen.training_s = training_s(progress)
    if process.returncode:
        raise SystemExit(f"exit code {process.returncode}: {' '.join(command)}")
    return seen


def watch(process: subprocess.Popen[bytes], progress: Path, begun: float) -> Footprint:
    """Note a training's memory at every row of its progress.csv."""
    seen = Footprint()
    while process.poll() is None:
        memory, env_steps = memory_mb(process.pid), trained(progress)
        seen.peak_rss_mb = max(seen.peak_rss_mb, memory.get("VmHWM", 0.0))
        if env_steps and "VmRSS" in memory:
            seen.first_update_s = seen.first_update_s or time.monotonic() - begun
            seen.rss_mb[env_steps] = memory["VmRSS"]
        time.sleep(SAMPLE_S)
    return seen


def training_s(progress: Path) -> float:
    """Seconds of all updates and of the rollouts before them; 0 where there is none."""
    if not progress.exists():
        return 0.0
    with progress.open(encoding="utf-8") as file:
        rows = [(int(row["env_steps"]), float(row["env_steps_per_s"])) for row in csv.DictReader(file)]
    return sum(rows[0][0] / rate for _, rate in rows)


def memory_mb(pid: int) -> dict[str, float]:
    """Memory of a process now (VmRSS) and at most so far (VmHWM) [MB]; of one that has ended, nothing."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    fields = [line.split() for line in lines if line.startswith(("VmRSS", "VmHWM"))]
    return {name.rstrip(":"): int(kilobytes) / 1024 for name, kilobytes, _ in fields}


def trained(progress: Path) -> int:
    """Env steps in the last row; 0 before the first. Reads no more than it must: the training wants the cores."""
    if not progress.exists():
        return 0
    with progress.open("rb") as file:
        column = file.readline().split(b",").index(b"env_steps") if progress.stat().st_size else 0
        file.seek(max(file.tell(), progress.stat().st_size - TAIL))
        rows = file.read().splitlines()
    return int(rows[-1].split(b",")[column]) if rows else 0


if __name__ == "__main__":
    main()
