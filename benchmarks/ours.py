"""The project's own speed, for ``throughput.py``: the environment alone, and training from end to end.

Every function runs in a process of its own and takes the composed config. A robot whose physics broke in a control step
has made no env step.
"""

import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vbot_train.agent.networks import Spaces
from vbot_train.agent.ppo import Learner, build_agent, compute_mean_action, load_checkpoint
from vbot_train.agent.trainer import TrainingLoop
from vbot_train.config.composition import find_checkpoint
from vbot_train.config.schema import Config
from vbot_train.env.environment import Environment, build_env
from vbot_train.evaluation.held_out import evaluate
from vbot_train.training.recorder import Recorder
from vbot_train.training.selection import Selection
from vbot_train.training.training_run import count_update_threads

SETTLE = 50  # control steps before anything is measured: robots all at their starts are not what training sees
SHORT_S = 1.0  # length of the held-out episodes that stand for whole ones [s]
MICRO = 1e6


class Stopwatch:
    """Adds up seconds by name. A stretch inside another counts for both."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Time what stands inside ``with``."""
        start = time.perf_counter()
        yield
        self.seconds[name] += time.perf_counter() - start

    def watch(self, owner: object, method: str, name: str) -> None:
        """Time every call of a method of this one object."""
        original = getattr(owner, method)

        def timed(*args: Any, **kwargs: Any) -> Any:
            with self(name):
                return original(*args, **kwargs)

        setattr(owner, method, timed)


def prepare(config: Config) -> tuple[Environment, Learner]:
    """The environment and the agent, as ``train`` builds them; the agent that ``init_from`` names, if any."""
    torch.set_num_threads(1)  # but for updates
    torch.manual_seed(config.seed)
    training = config.training
    env = build_env(config, num_envs=training.num_envs, seed=config.seed)
    hidden = config.network.hidden_layer_sizes
    agent = build_agent(
        config.ppo,
        hidden,
        Spaces.of(env.observation_size, env.action_size),
        num_envs=training.num_envs,
        env_steps=training.env_steps,
    )
    if config.init_from is not None:
        load_checkpoint(agent, find_checkpoint(Path(config.init_from)), optimizer=False)
    return env, agent


@torch.no_grad()
def explore(agent: Learner, observation: Tensor) -> Tensor:
    """Actions (E, 12) as training samples them; of a fresh agent, Gaussian noise around the standing pose."""
    mean = compute_mean_action(agent, observation)
    return mean + agent.policy.std() * torch.randn_like(mean)


def settled(env: Environment, agent: Learner) -> Tensor:
    """Let the robots move until they are where training finds them. Returns their observations (E, 54)."""
    observation = env.reset(stagger=True)
    for _ in range(SETTLE):
        observation = env.step(explore(agent, observation)).observation
    return observation


def environment(config: Config, steps: int) -> dict[str, float]:
    """``Environment.step`` alone: env steps/s, and the microseconds of each of its two parts."""
    env, agent = prepare(config)
    observation = settled(env, agent)
    unstable_before, watch = env.unstable_robots, Stopwatch()
    watch.watch(env.simulation, "step", "physics")
    for _ in range(steps):
        action = explore(agent, observation)
        with watch("all"):
            observation = env.step(action).observation
    unstable = env.unstable_robots - unstable_before
    env_steps = steps * env.num_envs - unstable
    whole, physics = (watch.seconds[name] * MICRO / env_steps for name in ("all", "physics"))
    return {
        "env_steps_per_s": MICRO / whole,
        "physics_us": physics,
        "task_logic_us": whole - physics,
        "unstable_robots": unstable,
    }


def training(config: Config, env_steps: int) -> dict[str, Any]:
    """``TrainingLoop`` from end to end: env steps/s, and where the time goes.

    What follows its updates, logging and evaluation, stands beside it as a share of it. That of evaluation is worked
    out for the whole training of the config: short ones would evaluate as often.
    """
    env, agent = prepare(config)
    list(TrainingLoop(agent, env, updates=1, threads=count_update_threads(config)))  # a warm-up
    rollout = env.num_envs * agent.cfg.rollouts
    updates = max(2, env_steps // rollout)
    unstable_before, watch = env.unstable_robots, Stopwatch()
    _watch_parts(watch, env, agent)
    with watch("all"):
        _learn_and_record(config, env, agent, updates, watch)
    unstable = env.unstable_robots - unstable_before
    us = {name: seconds * MICRO / (updates * rollout - unstable) for name, seconds in watch.seconds.items()}
    us["task logic"] = us.pop("step") - us["physics"]
    whole = us.pop("all") - us["logging"] - us["evaluation"]
    logging_us = us.pop("logging")
    one_selection = us.pop("evaluation") * (updates * rollout - unstable)  # [us]
    full_us = whole * config.training.env_steps
    return {
        "env_steps_per_s": MICRO / whole,
        "total_us": whole,
        "parts_us": us,
        "logging_share": logging_us / whole,
        "selection_share": one_selection * config.training.evaluations / full_us,
        "held_out_share": _held_out_us(config, agent) / full_us,
        "unstable_robots": unstable,
    }


def _watch_parts(watch: Stopwatch, env: Environment, agent: Learner) -> None:
    watch.watch(env.simulation, "step", "physics")
    watch.watch(env, "step", "step")
    watch.watch(agent, "act", "inference")
    watch.watch(agent, "record_transition", "storage")
    watch.watch(agent, "update", "update")  # and what the value function thinks of the rollout


def _learn_and_record(config: Config, env: Environment, agent: Learner, updates: int, watch: Stopwatch) -> None:
    """What ``train`` does, with a single evaluation while the agent learns."""
    once = config.model_copy(update={"training": config.training.model_copy(update={"evaluations": 1})})
    with tempfile.TemporaryDirectory() as folder:
        selection = Selection(once, agent, Path(folder) / "best.pt", updates)
        with Recorder(Path(folder), config.search.metric, env_steps=1, bar=False) as recorder:
            for update in TrainingLoop(agent, env, updates=updates, threads=count_update_threads(config)):
                with watch("evaluation"):
                    metrics = selection(update)
                with watch("logging"):
                    recorder.write(update, metrics)


def _held_out_us(config: Config, agent: Learner) -> float:
    """Both evaluations at the end of a training, of the best and of the last checkpoint [us]."""
    length_s = config.env.episode_length_s
    short_s = min(SHORT_S, length_s)
    short = config.model_copy(update={"env": config.env.model_copy(update={"episode_length_s": short_s})})
    env = build_env(short, num_envs=config.training.evaluation_episodes, seed=0)
    start = time.perf_counter()
    evaluate(env, partial(compute_mean_action, agent), config.evaluation.seed)
    both = 1 + config.training.last_episodes / config.training.evaluation_episodes
    return both * (time.perf_counter() - start) * MICRO * length_s / short_s
