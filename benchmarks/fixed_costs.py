"""Where the wall clock of a trial goes: starting, learning, evaluations while it trains and at its end, ending.

python benchmarks/fixed_costs.py
python benchmarks/fixed_costs.py --code OTHER_CHECKOUT --code . --repeats 3 --json fixed_costs.json
python benchmarks/fixed_costs.py --code OTHER_CHECKOUT --code . --search

Trials of a search, as its workers start them, two side by side on one thread each; with several --code, of each
checkout in turn. A trial is watched from outside, by the messages that its worker gets, so that older checkouts can be
measured, too. Beside the seconds stands the process's own CPU time, which other work on the machine disturbs less.
With --search, whole searches instead: `search=quick` from the start of the command to its end.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Column, Table

LEARNING = "learning"
SELECTION, LAST = "evaluations while it trains", "evaluations at the end"
PHASES = ("start", LEARNING, SELECTION, "states", LAST, "end")
OUTSIDE = ("start", LAST, "end")
THREADS = ["simulation.threads=1", "training.torch_threads=1"]  # what a search gives its trials, one for each core
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Trial:
    """A trial's process, and the seconds of wall clock and of CPU time that each phase has taken."""

    def __init__(self, code: Path, run_dir: Path, config: str, number: int) -> None:
        (run_dir / ".hydra").mkdir(parents=True)
        (run_dir / ".hydra" / "config.yaml").write_text(config, encoding="utf-8")
        training, ppo = (yaml.safe_load(config)[group] for group in ("training", "ppo"))
        self.run_dir = run_dir
        self.wall, self.cpu = dict.fromkeys(PHASES, 0.0), dict.fromkeys(PHASES, 0.0)
        self._rollout = training["num_envs"] * ppo["rollouts"]
        self._wall_s, self._cpu_s = time.time(), 0.0
        command = [sys.executable, "-m", "vbot_train.training.trial", str(run_dir), "--trial", str(number)]
        with (run_dir / "train.log").open("wb") as log:
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": log}
            self._process = subprocess.Popen(command, env=environment(code), **pipes)  # type: ignore[call-overload]
        self._watcher = threading.Thread(target=self._watch)
        self._watcher.start()

    def finish(self) -> None:
        """Wait for its end."""
        self._watcher.join()

    def _watch(self) -> None:
        for line in self._process.stdout:
            message = json.loads(line)
            match message["kind"]:
                case "begun":
                    self._add({"start": 1.0})
                case "state":
                    self._add({"states": 1.0})
                case "update":
                    self._split_update(self._rollout / message["env_steps_per_s"], "evaluation" in message)
        _, _, usage = os.wait4(self._process.pid, 0)
        self._split_end(usage.ru_utime + usage.ru_stime)

    def _split_update(self, update_s: float, is_evaluated: bool) -> None:
        """Divide the time since the last message between the update and what followed it."""
        share = min(1.0, update_s / (time.time() - self._wall_s))
        self._add({LEARNING: share, SELECTION if is_evaluated else "states": 1 - share})

    def _split_end(self, cpu_s: float) -> None:
        """Divide the time since the last message where the result was written."""
        now = time.time()
        share = (now - (self.run_dir / "result.yaml").stat().st_mtime) / (now - self._wall_s)
        self._add({LAST: 1 - share, "end": share}, cpu_s)

    def _add(self, shares: Mapping[str, float], cpu_s: float | None = None) -> None:
        """Add the time since the last message to phases, by their shares of it."""
        cpu_s = cpu_time_s(self._process.pid) if cpu_s is None else cpu_s
        wall, cpu = time.time() - self._wall_s, cpu_s - self._cpu_s
        for phase, share in shares.items():
            self.wall[phase] += share * wall
            self.cpu[phase] += share * cpu
        self._wall_s, self._cpu_s = self._wall_s + wall, cpu_s


def cpu_time_s(pid: int) -> float:
    """CPU time of a running process so far [s]."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def main() -> None:
    """Print a table with a pair of columns for each checkout."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--code", type=Path, action="append", help="a checkout; this one unless given")
    parser.add_argument("--repeats", type=int, default=1, help="rounds; one is two trials of each checkout")
    parser.add_argument("--search", action="store_true", help="time whole searches")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    parser.add_argument("overrides", nargs="*", help="of the config, after training=quick")
    arguments = parser.parse_args()
    codes = [code.absolute() for code in arguments.code or [Path(__file__).parents[1]]]
    measure, tabulate = (run_search, search_table) if arguments.search else (run_trials, phase_table)
    figures: list[list[Any]] = [[] for _ in codes]
    for number in range(arguments.repeats):
        for code, found in zip(codes, figures, strict=True):
            found += measure(code, number, arguments.overrides)
            print(f"round {number + 1} of {arguments.repeats}: {code.name}", file=sys.stderr, flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    Console().print(tabulate([code.name for code in codes], figures))


def environment(code: Path) -> dict[str, str]:
    """Environment variables with which a checkout's code is imported."""
    return {**os.environ, "PYTHONPATH": str(code)}


def run_trials(code: Path, number: int, overrides: Sequence[str]) -> list[dict[str, Any]]:
    """Two trials side by side, on seeds of this round."""
    with tempfile.TemporaryDirectory() as folder:
        seeds = (2 * number + 1, 2 * number + 2)
        configs = [compose(code, ["training=quick", *THREADS, f"seed={seed}", *overrides]) for seed in seeds]
        trials = [
            Trial(code, Path(folder) / str(seed), config, seed) for seed, config in zip(seeds, configs, strict=True)
        ]
        for trial in trials:
            trial.finish()
        results = [yaml.safe_load((trial.run_dir / "result.yaml").read_text(encoding="utf-8")) for trial in trials]
    return [
        {"wall": trial.wall, "cpu": trial.cpu, "metrics": result["metrics"], "wall_time_s": result["wall_time_s"]}
        for trial, result in zip(trials, results, strict=True)
    ]


def compose(code: Path, overrides: Sequence[str]) -> str:
    """The config of a trial, as YAML."""
    line = [sys.executable, "-m", "vbot_train", "--cfg", "job", "--resolve", *overrides]
    return subprocess.run(line, env=environment(code), check=True, capture_output=True, text=True).stdout


def run_search(code: Path, number: int, overrides: Sequence[str]) -> list[dict[str, float]]:
    """One search, two workers."""
    with tempfile.TemporaryDirectory() as folder:
        line = [sys.executable, "-m", "vbot_train", "-m", "search=quick", "workers=2", f"seed={number + 1}", *overrides]
        before, start = os.times(), time.monotonic()
        subprocess.run(line, cwd=folder, env=environment(code), check=True, stdout=subprocess.DEVNULL)
        wall_s, after = time.monotonic() - start, os.times()
    cpu_s = after.children_user + after.children_system - before.children_user - before.children_system
    return [{"wall": wall_s, "cpu": cpu_s}]


def phase_table(names: Sequence[str], figures: Sequence[Sequence[Mapping[str, Any]]]) -> Table:
    """Medians over the trials of each checkout, a row for each phase, and sums of phases."""
    rows = {phase: [phase] for phase in PHASES}
    rows |= {"outside learning": [phase for phase in PHASES if phase != LEARNING], "outside training": OUTSIDE}
    rows["all"] = list(PHASES)
    columns = [column for name in names for column in (f"{name} [s]", "share", "CPU [s]")]
    table = Table(Column(no_wrap=True), *columns)
    table.title = "metrics in result.yaml: " + ("equal" if are_equal(figures) else "different")
    for name, phases in rows.items():
        table.add_row(name, *(cell for trials in figures for cell in cells(trials, phases)))
    return table


def cells(trials: Sequence[Mapping[str, Any]], phases: Sequence[str]) -> list[str]:
    """Wall clock, its share of the whole trial, and CPU time of phases."""
    wall, cpu = ([sum(trial[kind][phase] for phase in phases) for trial in trials] for kind in ("wall", "cpu"))
    shares = [seconds / sum(trial["wall"].values()) for seconds, trial in zip(wall, trials, strict=True)]
    return [f"{statistics.median(wall):.2f}", f"{statistics.median(shares):.1%}", f"{statistics.median(cpu):.2f}"]


def are_equal(figures: Sequence[Sequence[Mapping[str, Any]]]) -> bool:
    """Whether the trials of all checkouts have the same metrics, seed by seed."""
    metrics = [[trial["metrics"] for trial in trials] for trials in figures]
    return all(each == metrics[0] for each in metrics)


def search_table(names: Sequence[str], figures: Sequence[Sequence[Mapping[str, float]]]) -> Table:
    """Medians over the searches of each checkout."""
    table = Table("search=quick", "wall clock [s]", "CPU [s]")
    for name, searches in zip(names, figures, strict=True):
        medians = (statistics.median(search[kind] for search in searches) for kind in ("wall", "cpu"))
        table.add_row(name, *(f"{median:.1f}" for median in medians))
    return table


if __name__ == "__main__":
    main()
