"""What the analysis of a large study costs: wall clock and memory of ``python -m vbot_train.analyze``.

python benchmarks/analysis.py

The study is made up: the nine parameters of search=full, a value that depends on two of them, noise as large as half
of its spread, finalists confirmed and tested, a curve of 150 updates for every trial.
"""

import argparse
import csv
import math
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import optuna
import yaml
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial

from vbot_train.analysis.verdict import DEFAULT, TRIAL
from vbot_train.training.metrics import METRICS
from vbot_train.training.result import TrialResult

SPACE: dict[str, BaseDistribution] = {
    "ppo.learning_rate": FloatDistribution(1e-5, 1e-2, log=True),
    "ppo.discount_factor": CategoricalDistribution([0.95, 0.97, 0.99, 0.995, 0.999]),
    "ppo.gae_lambda": CategoricalDistribution([0.9, 0.95, 0.97, 0.99]),
    "ppo.ratio_clip": CategoricalDistribution([0.1, 0.15, 0.2, 0.3]),
    "ppo.entropy_loss_scale": FloatDistribution(1e-4, 1e-1, log=True),
    "ppo.learning_epochs": CategoricalDistribution([2, 4, 5, 6, 8, 10]),
    "ppo.mini_batches": CategoricalDistribution([8, 16, 32, 64, 128]),
    "ppo.rollouts": CategoricalDistribution([16, 24, 32, 48, 64]),
    "network": CategoricalDistribution(["small", "medium", "large", "deep"]),
}
UPDATES = 150  # rows of each trial's progress.csv


def main() -> None:
    """Print seconds and megabytes of each repetition."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        study = Path(folder) / "multirun" / "large"
        make_study(study, arguments.trials)
        for _ in range(arguments.repeats):
            seconds, peak_mb = measure([sys.executable, "-m", "vbot_train.analyze", str(study)])
            print(f"{arguments.trials} trials: {seconds:.1f} s, {peak_mb:.0f} MB at most", flush=True)


def measure(command: list[str]) -> tuple[float, float]:
    """Wall clock [s] and peak of the resident memory [MB] of a command; the largest child so far counts."""
    begun = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - begun, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def make_study(directory: Path, trials: int, seed: int = 0) -> None:
    """Write a study as a search leaves it."""
    directory.mkdir(parents=True)
    draw = random.Random(seed)
    metric = "episode_reward_mean"
    record = {
        "study": directory.name,
        "metric": metric,
        "confirm": {"top_k": 5, "seeds": [1001, 1002, 1003]},
        "test": {"seeds": [2001, 2002, 2003], "evaluation_seed": 3_000_003},
        "config": {"training": {"evaluations": 5, "env_steps": 900_000}},
        "sampler": {"_target_": "optuna.samplers.RandomSampler"},
    }
    (directory / "study.yaml").write_text(yaml.safe_dump(record), encoding="utf-8")
    storage = f"sqlite:///{directory}/study.db"
    found = []
    for number in range(trials):
        params = {name: draw_from(distribution, draw) for name, distribution in SPACE.items()}
        value = -2 * (math.log10(params["ppo.learning_rate"]) + 3.5) ** 2 + 0.05 * params["ppo.rollouts"]
        status = "diverged" if params["ppo.learning_rate"] > 8e-3 else "completed"
        found.append((params, SPACE, 42, status, value + draw.gauss(0, 1)))
        write_trial(directory / "trials" / f"{number:03d}", number, *found[-1][2:5], UPDATES)
    write_database(storage, directory.name, found)
    best = sorted(range(trials), key=lambda n: -found[n][4] if found[n][3] == "completed" else math.inf)[:5]
    for stage, numbers, first in (("confirm", best, 1001), ("test", [best[0], DEFAULT], 2001)):
        space: dict[str, BaseDistribution] = {TRIAL: IntDistribution(DEFAULT, 2**31 - 1)}
        rows = [
            ({TRIAL: n}, space, first + k, "completed", found[n][4] + draw.gauss(-1, 1))
            for n in numbers
            for k in range(3)
        ]
        for number, row in enumerate(rows):
            write_trial(directory / stage / f"{number:03d}", number, *row[2:5], 0)
        write_database(storage, f"{directory.name}/{stage}", rows)


def draw_from(distribution: BaseDistribution, draw: random.Random) -> object:
    """A random value of a distribution."""
    if isinstance(distribution, CategoricalDistribution):
        return draw.choice(distribution.choices)
    assert isinstance(distribution, FloatDistribution)
    return math.exp(draw.uniform(math.log(distribution.low), math.log(distribution.high)))


def write_database(storage: str, name: str, rows: list[tuple]) -> None:  # type: ignore[type-arg]
    """Write the trials into the study's database, in one go."""
    study = optuna.create_study(study_name=name, storage=storage, direction=METRICS["episode_reward_mean"].direction)
    study.add_trials(
        create_trial(
            params=params,
            distributions=space,
            state=TrialState.COMPLETE if status == "completed" else TrialState.FAIL,
            value=value if status == "completed" else None,
            user_attrs={"status": status, "seed": seed, "origin": "proposed"},
        )
        for params, space, seed, status, value in rows
    )


def write_trial(directory: Path, number: int, seed: int, status: str, value: float, updates: int) -> None:
    """Write the files of a trial that the analysis reads."""
    directory.mkdir(parents=True)
    metrics = dict.fromkeys(METRICS, 0.5) | {"episode_reward_mean": value}
    TrialResult(status, number, seed, [seed], metrics, metrics, {"approach": 1.0}, 900_000).save(directory)
    (directory / "experiment.yaml").write_text(yaml.safe_dump({"seed": seed}), encoding="utf-8")
    with (directory / "progress.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["number", "env_steps", "reward", "success_rate"])
        rows.writerows([k, 6000 * k, value * k / UPDATES, k / UPDATES] for k in range(1, updates + 1))


if __name__ == "__main__":
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    main()
