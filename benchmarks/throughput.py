"""How fast training is, what bounds it, and how other ways to train compare. All in env steps/s.

python benchmarks/throughput.py --json throughput.json

An env step is one control step of one robot. Settings are those of training=standard, mini-batches as large as there.
Bare physics and a bare learner, one after the other, are the ceiling of any PPO with this physics and these networks;
training from end to end is held against it, logging and evaluation left out of it and shown apart. The peers are tried
with several numbers of robots first; --no-peers leaves them out.

Every figure is measured in a process of its own, and the median of several rounds. So is every ratio, since a shared
machine is faster in one round than in the next: rounds are short, and what is compared stands side by side. Nothing
else may run. A fresh policy only shuffles: --init-from RUN measures walking robots.
"""

import argparse
import importlib.metadata
import json
import multiprocessing
import platform
import statistics
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import ceilings
import ours
import peers
from rich.console import Console
from tables import own_table, peers_table

from vbot_train.config.composition import count_cores
from vbot_train.config.schema import Config
from vbot_train.config.validation import compose_validated

Way = tuple[str, int, int]  # how a peer steps robots, how many, and torch threads of its learner


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    envs: list[int]
    repeats: int
    steps: int  # control steps of physics and environment
    learner_samples: int  # of the bare learner, warm-up apart
    env_steps: int  # of a training, warm-up apart
    trial_samples: int  # of a peer while the best way to run it is looked for
    robots: list[int]  # numbers of robots that a peer is tried with
    threads: list[int]  # torch threads that a peer is tried with
    overrides: tuple[str, ...] = ()


FULL = Size([512, 2048], 9, 24, 49_152, 98_304, 2048, [1, 2, 4, 8, 16, 32], [1, 2])
QUICK = Size(
    [16],
    1,
    4,
    384,
    768,
    32,
    [2],
    [1],
    ("training=smoke", "ppo.rollouts=4", "ppo.mini_batches=4", "env.episode_length_s=0.4"),
)

PEERS: dict[str, tuple[Callable[..., peers.Rates], tuple[str, str]]] = {
    "stable_baselines3": (peers.sb3, ("dummy", "subproc")),
    "skrl": (peers.stock_skrl, ("sync", "async")),
}
HYBRID = "stable_baselines3_on_our_environment"


def main() -> None:
    """Measure, print, write down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="file to write all figures to")
    parser.add_argument("--envs", type=int, nargs="+", help="numbers of robots of ours; 512 2048 unless given")
    parser.add_argument("--repeats", type=int, help="rounds")
    parser.add_argument("--init-from", help="run or checkpoint whose policy moves the robots")
    parser.add_argument("--no-peers", action="store_true", help="only this project and its ceilings")
    parser.add_argument("--quick", action="store_true", help="tiny numbers that mean nothing, to see that it works")
    arguments = parser.parse_args()
    size = QUICK if arguments.quick else FULL
    configs = {n: settings(n, size, arguments.init_from) for n in arguments.envs or size.envs}
    figures = measure(configs, size, arguments.repeats or size.repeats, [] if arguments.no_peers else list(PEERS))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    console = Console()
    console.print(own_table(figures["ours"]))
    if figures["peers"]:
        console.print(peers_table(figures))


def settings(num_envs: int, size: Size, init_from: str | None) -> Config:
    """The defaults with another number of robots, and as many more mini-batches."""
    standard = compose_validated([*size.overrides])
    mini_batches = max(1, standard.ppo.mini_batches * num_envs // standard.training.num_envs)
    start = [f"init_from='{Path(init_from).absolute()}'"] if init_from else []
    overrides = [f"training.num_envs={num_envs}", f"ppo.mini_batches={mini_batches}", *start]
    return compose_validated([*size.overrides, *overrides])


def measure(configs: Mapping[int, Config], size: Size, repeats: int, names: list[str]) -> dict[str, Any]:
    """Everything, in rounds; of the peers those named."""
    log = Console(stderr=True)
    common = configs[min(configs)]  # whose samples per update the peers take
    if names:
        log.print("looking for the best way to run each peer")
    tried = {name: try_ways(name, common, size) for name in names}
    best = {name: max(rates, key=lambda way: rates[way]) for name, rates in tried.items()}
    rounds = []
    for number in range(1, repeats + 1):
        log.print(f"round {number} of {repeats}")
        own = {str(n): measure_ours(config, size) for n, config in configs.items()}
        rounds.append(conclude(own, measure_peers(common, best, size) if names else {}))
    listed = {name: [[*way, rate] for way, rate in rates.items()] for name, rates in tried.items()}
    middle = median_of(rounds)
    for name, peer in middle["peers"].items():
        peer |= how(name, best)
    return {"machine": machine(common), **middle, "tried": listed, "rounds": rounds}


def conclude(own: Mapping[str, Any], rates: Mapping[str, float]) -> dict[str, Any]:
    """What follows from one round."""
    return {
        "ours": {n: summarize(figures) for n, figures in own.items()},
        "peers": {name: {"env_steps_per_s": rate} for name, rate in rates.items()},
        "ratios": {
            n: {name: figures["training"]["env_steps_per_s"] / rate for name, rate in rates.items()}
            for n, figures in own.items()
        },
    }


def measure_ours(config: Config, size: Size) -> dict[str, Any]:
    """One round of this project's figures."""
    rollout = config.training.num_envs * config.ppo.rollouts
    return {
        "environment": apart(ours.environment, config, size.steps),
        "physics": apart(ceilings.physics, config, size.steps),
        "learner": apart(ceilings.learner, config, max(1, size.learner_samples // rollout)),
        "training": apart(ours.training, config, size.env_steps),
    }


def try_ways(name: str, config: Config, size: Size) -> dict[Way, float]:
    """Short trials of a peer: env steps/s by the way it is run."""
    peer, kinds = PEERS[name]
    rates = {}
    for kind in kinds:
        for robots in size.robots:
            if robots > 1 or kind == kinds[0]:  # one robot needs no processes
                found = apart(peer, config, size.trial_samples, 1, size.threads, kind, robots)
                rates |= {(kind, robots, threads): rate for threads, rate in found.items()}
    return rates


def measure_peers(config: Config, best: Mapping[str, Way], size: Size) -> dict[str, float]:
    """One round of the peers, each as it is best, updating on as many samples as ours."""
    robots = config.training.num_envs
    samples = robots * config.ppo.rollouts
    rates = {}
    for name, (kind, number, threads) in best.items():
        rates[name] = apart(PEERS[name][0], config, samples, 1, [threads], kind, number)[threads]
    updates = max(1, size.env_steps // samples // 2)
    rates[HYBRID] = max(apart(peers.sb3_on_ours, config, samples, updates, size.threads, "ours", robots).values())
    return rates


def apart(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in its own process, the same in every round: threads of one measure must not touch the next."""
    return process_of(function).submit(function, *arguments).result()


@cache
def process_of(function: Callable[..., Any]) -> ProcessPoolExecutor:
    """Started by its first call. It waits for the next without using a core."""
    return ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))


def median_of(rounds: list[Any]) -> Any:
    """The median of every number in equal nests of dicts."""
    if isinstance(rounds[0], dict):
        return {key: median_of([each[key] for each in rounds]) for key in rounds[0]}
    return statistics.median(rounds)


def summarize(figures: Mapping[str, Any]) -> dict[str, Any]:
    """What one number of robots gave, the ceiling that makes, and how near training comes to it."""
    physics, learner = (max(figures[part].values()) for part in ("physics", "learner"))
    ceiling = 1 / (1 / physics + 1 / learner)
    environment = figures["environment"]
    return {
        **figures,
        "ceiling": {"physics": physics, "learner": learner, "combined": ceiling},
        "task_logic_of_physics": environment["task_logic_us"] / environment["physics_us"],
        "of_ceiling": figures["training"]["env_steps_per_s"] / ceiling,
    }


def how(name: str, best: Mapping[str, Way]) -> dict[str, Any]:
    """What a peer's figure was measured with."""
    if name not in best:
        return {}
    kind, robots, threads = best[name]
    return {"vector": kind, "num_envs": robots, "torch_threads": threads}


def machine(config: Config) -> dict[str, Any]:
    """What the figures were measured on, and with."""
    packages = ("torch", "mujoco", "skrl", "stable-baselines3", "gymnasium")
    return {
        "processor": processor(),
        "cores": count_cores(),
        "mixed_precision": config.ppo.mixed_precision,
        **{name: importlib.metadata.version(name) for name in packages},
    }


def processor() -> str:
    """Name of the processor, as far as it is known."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


if __name__ == "__main__":
    main()
