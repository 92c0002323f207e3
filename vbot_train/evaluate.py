"""Held-out evaluation: deterministic episodes from starts that training never uses.

python -m vbot_train.evaluate outputs/RUN
"""

import argparse
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra.errors import CompactHydraException
from rich.console import Console
from rich.table import Table
from torch import Tensor

from vbot_train.agent.ppo import build_agent, load_checkpoint, mean_action
from vbot_train.config import ConfigError, available_cores, checkpoint_of, compose_config, load_recorded_config
from vbot_train.env.episodes import Episodes
from vbot_train.env.navigation import NavigationEnv


def build_env(config: Mapping[str, Any], *, num_envs: int, seed: int) -> NavigationEnv:
    """Build the environment that the config describes, for a number of robots."""
    threads = config["simulation"]["threads"] or available_cores()
    return NavigationEnv(config["env"], config["reward"], num_envs=num_envs, seed=seed, threads=threads)


def evaluate(env: NavigationEnv, policy: Callable[[Tensor], Tensor], seed: int) -> Episodes:
    """Run one full episode per robot.

    Args:
        env: The environment; its robots are the episodes.
        policy: Maps observations (E, 54) to actions (E, 12).
        seed: Seeds the starts.

    Returns:
        E episodes, in the order of the robots.
    """
    observation = env.reset(seed=seed)
    ended: list[Episodes] = []
    for _ in range(env.max_steps):
        step = env.step(policy(observation))
        observation = step.observation
        ended.append(step.episodes)
    return first_per_robot(concatenate(ended))


def concatenate(parts: Iterable[Episodes]) -> Episodes:
    """Join batches of episodes, in order."""
    parts = list(parts)
    return Episodes(**{f.name: torch.cat([getattr(part, f.name) for part in parts]) for f in fields(Episodes)})


def first_per_robot(episodes: Episodes) -> Episodes:
    """The first episode of each robot: a robot that fell early starts again, and would be counted twice."""
    _, first = np.unique(episodes.robot.numpy(), return_index=True)
    index = torch.from_numpy(first)
    return Episodes(**{f.name: getattr(episodes, f.name)[index] for f in fields(Episodes)})


def summarize(episodes: Episodes) -> dict[str, float | None]:
    """The metrics of ``result.METRICS`` over episodes, but for ``env_steps_to_success``, which training knows."""
    success = episodes.reached & ~episodes.fell & ~episodes.left
    times = episodes.time_to_goal_s[success]
    points = (episodes.fenced.float() + episodes.reached.float()) * ~(episodes.fell | episodes.left)
    return {
        "episode_reward_mean": mean(episodes.reward),
        "success_rate": mean(success),
        "fall_rate": mean(episodes.fell),
        "out_of_bounds_rate": mean(episodes.left),
        "time_to_goal_s": round(times.quantile(0.5).item(), 6) if len(times) else None,
        "final_distance_m": mean(episodes.final_distance_m),
        "episode_length_mean": mean(episodes.length_s),
        "stage1_points": mean(points),
    }


def mean(values: Tensor) -> float:
    """Mean as a plain float."""
    return round(values.double().mean().item(), 6)


def mean_reward_terms(episodes: Episodes, names: Iterable[str]) -> dict[str, float]:
    """Mean reward per episode and term."""
    return {name: mean(column) for name, column in zip(names, episodes.reward_terms.T, strict=True)}


def main() -> None:
    """Measure a run's best checkpoint on held-out episodes."""
    parser = argparse.ArgumentParser(prog="python -m vbot_train.evaluate", description=main.__doc__)
    parser.add_argument("run", type=Path, help="directory of a run or of a trial")
    parser.add_argument("--episodes", type=int, default=1024)
    parser.add_argument("--seed", type=int, help="of the starts; default: the run's own evaluation.seed")
    parser.add_argument("--env", help="option of conf/env/; default: the run's own")
    arguments = parser.parse_args()
    try:
        metrics = evaluate_run(arguments.run, arguments.episodes, arguments.seed, arguments.env)
    except CompactHydraException as error:
        raise SystemExit(str(error)) from None
    Console().print(metrics_table(metrics))


def evaluate_run(run: Path, episodes: int, seed: int | None, env_option: str | None) -> dict[str, float | None]:
    """Measure a run's best checkpoint.

    Args:
        run: Directory of a run.
        episodes: Number of episodes, one robot each.
        seed: Seeds the starts; None is the run's own ``evaluation.seed``.
        env_option: Option of ``conf/env/`` to walk in; None is the run's own.

    Raises:
        ConfigError: There is no such run, checkpoint or option.
    """
    if episodes < 1:
        raise ConfigError(f"--episodes={episodes}: must be at least 1")
    config = load_recorded_config(run)
    if env_option is not None:
        config["env"] = compose_config([f"env={env_option}"])["env"]
    agent = build_agent(config["ppo"], config["network"]["hidden_layer_sizes"], num_envs=1, env_steps=1)
    load_checkpoint(agent, checkpoint_of(run))
    env = build_env(config, num_envs=episodes, seed=0)
    return summarize(evaluate(env, partial(mean_action, agent), config["evaluation"]["seed"] if seed is None else seed))


def metrics_table(metrics: Mapping[str, float | None]) -> Table:
    """Metrics, one a row."""
    table = Table("metric", "value")
    for name, value in metrics.items():
        table.add_row(name, "-" if value is None else f"{value:g}")
    return table


if __name__ == "__main__":
    main()
