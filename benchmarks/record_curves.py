"""Record the learning curves of a full factorial of PPO settings, for benchmarks/replay.py.

python benchmarks/record_curves.py
python benchmarks/record_curves.py --hours 2

135 cells (learning rate x entropy x discount x epochs) at training=quick on one seed, 40 of them on two more seeds:
215 trainings, in a fixed random order, each on one thread, with a held-out evaluation at every sixteenth of its length.
It takes hours. Each training is added to the files as soon as it is finished; the same line goes on where it stopped.

benchmarks/data/vbot_curves.csv.gz, a row per held-out evaluation:
    ppo.*         the settings
    seed          of the training
    step          env steps
    value         episode_reward_mean over 64 held-out episodes
    value_32, value_16   the same over the first 32 and 16 of them
    value_std     standard deviation of one episode
    success_rate, fall_rate, final_distance_m   over the 64 episodes (the last two in all but the first 51 trainings)
benchmarks/data/vbot_finals.csv.gz, a row per training: its status, and the metrics of the selected checkpoint on 512
other held-out episodes.
"""

import argparse
import csv
import gzip
import io
import itertools
import multiprocessing
import os
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

DATA = Path(__file__).parent / "data"
CURVES, FINALS = DATA / "vbot_curves.csv.gz", DATA / "vbot_finals.csv.gz"
GRID: dict[str, tuple[float, ...]] = {
    "ppo.learning_rate": (1e-4, 3e-4, 1e-3, 3e-3, 1e-2),
    "ppo.entropy_loss_scale": (1e-4, 3e-3, 3e-2),
    "ppo.discount_factor": (0.95, 0.99, 0.999),
    "ppo.learning_epochs": (2, 5, 10),
}
SEEDS = (42, 43, 44)  # the first on every cell, the others on REPLICATED cells
REPLICATED = 40
EVALUATIONS, EPISODES = 16, 64
SUBSETS = (32, 16)  # episodes
RATES = ("success_rate", "fall_rate", "final_distance_m")
FIXED = ["training=quick", f"training.evaluations={EVALUATIONS}", f"training.selection_episodes={EPISODES}"]
ONE_THREAD = ["training.torch_threads=1", "simulation.threads=1"]
METRIC = "episode_reward_mean"
FINAL_METRICS = (METRIC, "success_rate", "fall_rate", "time_to_goal_s", "final_distance_m")

Run = tuple[tuple[float, ...], int]  # a cell of the grid, and a seed
Rows = list[dict[str, Any]]


def main() -> None:
    """Record what is missing, and print a line per training."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=float("inf"), help="start no training after this time")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    end = time.monotonic() + 3600 * arguments.hours
    curves, finals = read_rows(CURVES), read_rows(FINALS)
    done = {run_of(row) for row in finals}
    missing = iter([run for run in list_runs() if run not in done])
    with ProcessPoolExecutor(arguments.processes, multiprocessing.get_context("spawn")) as pool:
        running: dict[Future[tuple[Rows, dict[str, Any]]], Run] = {}
        while True:
            while len(running) < arguments.processes and time.monotonic() < end and (run := next(missing, None)):
                running[pool.submit(record, run)] = run
            if not running:
                break
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                rows, final = future.result()
                done.add(running.pop(future))
                curves, finals = curves + rows, [*finals, final]
                write_rows(CURVES, curves)
                write_rows(FINALS, finals)
                print(f"{len(done)} of {len(list_runs())}:", *final.values(), flush=True)


def list_runs() -> list[Run]:
    """Every cell on the first seed, then some on the others, in an order drawn once."""
    cells = list(itertools.product(*GRID.values()))
    random.Random(0).shuffle(cells)
    return [(cell, SEEDS[0]) for cell in cells] + [(cell, s) for cell in cells[:REPLICATED] for s in SEEDS[1:]]


def run_of(row: Mapping[str, str]) -> Run:
    """The run to which a row belongs."""
    return tuple(float(row[name]) for name in GRID), int(row["seed"])


def record(run: Run) -> tuple[Rows, dict[str, Any]]:
    """Train once. Returns the rows of its curve, and the row of its end."""
    from vbot_train.agent.trainer import DivergedError
    from vbot_train.config.validation import compose_validated
    from vbot_train.training.stop import StopRequest
    from vbot_train.training.training_run import Run as TrainingRun

    cell, seed = run
    settings = dict(zip(GRID, cell, strict=True))
    overrides = [f"{name}={int(x) if name.endswith('epochs') else x}" for name, x in settings.items()]
    config = compose_validated([*FIXED, *ONE_THREAD, *overrides, f"seed={seed}"])
    head = {**settings, "seed": seed}
    curve: Rows = []
    with TemporaryDirectory() as folder:
        (Path(folder) / "checkpoints").mkdir()
        training = TrainingRun(config, {}, Path(folder), None, StopRequest(), lambda event: None, float("inf"))
        try:
            training.build(None)
            curve.extend(head | row for row in learn(training))
            final = {"status": "completed"} | evaluate_selected(training)
        except DivergedError:
            final = {"status": "diverged"} | dict.fromkeys(FINAL_METRICS)
        return curve, head | final | {"wall_time_s": round(training.wall_time_s, 1)}


def learn(training: Any) -> Iterator[dict[str, Any]]:
    """Train to the end; yields a row for each held-out evaluation."""
    for update in training.loop:
        if training.selection.count(update.number) is None:
            continue
        episodes = evaluate_and_keep(training, update)
        rewards = episodes[METRIC].double()
        value = {f"value_{n}": round(rewards[:n].mean().item(), 5) for n in SUBSETS}
        yield {
            "step": update.env_steps,
            "value": round(rewards.mean().item(), 5),
            **value,
            "value_std": round(rewards.std().item(), 5),
            **{name: round(episodes[name].double().mean().item(), 5) for name in RATES},
        }


def evaluate_and_keep(training: Any, update: Any) -> dict[str, Any]:
    """Let the selection evaluate, and keep the values of each of its episodes, (EPISODES,) by metric."""
    from vbot_train.evaluation.held_out import compute_per_episode
    from vbot_train.training import selection

    kept: list[Any] = []
    original = selection.summarize

    def keep(episodes: Any) -> Any:
        kept.append(compute_per_episode(episodes))
        return original(episodes)

    selection.summarize = keep
    try:
        training.selection(update)
    finally:
        selection.summarize = original
    return kept[0]


def evaluate_selected(training: Any) -> dict[str, Any]:
    """Metrics of the selected checkpoint on the reported episodes."""
    from vbot_train.agent.ppo import compute_mean_action, load_checkpoint
    from vbot_train.env.environment import build_env
    from vbot_train.evaluation.held_out import evaluate, summarize

    load_checkpoint(training.agent, training.checkpoints / "best.pt")
    config = training.config
    env = build_env(config, num_envs=config.training.evaluation_episodes, seed=0)
    metrics = summarize(evaluate(env, partial(compute_mean_action, training.agent), config.evaluation.seed))
    return {name: metrics[name] for name in FINAL_METRICS}


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a file, none if it does not exist."""
    if not path.exists():
        return []
    with gzip.open(path, "rt", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a file, whole or not at all."""
    if not rows:
        return
    text = io.StringIO()
    writer = csv.DictWriter(text, dict.fromkeys(key for row in rows for key in row))
    writer.writeheader()
    writer.writerows(rows)
    path.parent.mkdir(exist_ok=True)
    part = path.with_suffix(".part")
    part.write_bytes(gzip.compress(text.getvalue().encode(), mtime=0))
    part.replace(path)


if __name__ == "__main__":
    main()
