"""One training run: build the environment, build the agent, learn, evaluate, record."""

import time
import traceback
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch

from vbot_train.agent.ppo import applied_settings, build_agent, load_checkpoint, mean_action, save_checkpoint
from vbot_train.agent.trainer import DivergedError, Update, learn
from vbot_train.checks import check_config
from vbot_train.config import available_cores, checkpoint_of
from vbot_train.env.episodes import Episodes
from vbot_train.env.navigation import NavigationEnv
from vbot_train.evaluation.held_out import build_env, evaluate, mean_reward_terms, summarize
from vbot_train.training.recorder import Recorder
from vbot_train.training.result import TrialResult, TrialStopped, write_atomically
from vbot_train.training.run_directory import CHECKPOINTS, cause_of, own_run_directory
from vbot_train.training.selection import Selection

MAX_TORCH_THREADS = 4  # a bound for networks this small; on two quiet cores two beat one (LOG.md, 2026-11-24)


def train(config: Mapping[str, Any], run_dir: Path, *, trial: int | None = None, bar: bool = False) -> TrialResult:
    """Train, and write ``result.yaml``, ``progress.csv`` and ``checkpoints/`` into ``run_dir``.

    Args:
        config: The composed config, in plain containers.
        run_dir: A directory without a run in it; it is created if need be.
        trial: Number in its study.
        bar: Show a progress bar.

    Returns:
        The result: ``completed``, ``diverged``, or what ``TrialStopped`` says. Any other end is recorded as
        ``failed`` or ``interrupted`` and raised.

    Raises:
        ConfigError: The config cannot train, or ``run_dir`` is another's or already holds a run.
    """
    check_config(config)
    with own_run_directory(run_dir):
        run = Run(config, run_dir, trial)
        try:
            run.build()
            result = run.result("completed", **run.learn_and_evaluate(bar))
        except DivergedError as error:
            run.save_traceback()
            result = run.result("diverged", cause=str(error))
        except TrialStopped as stop:
            if stop.status != "pruned":
                run.save_traceback()
            result = run.result(stop.status, cause=stop.cause)
        except BaseException as error:
            run.record_failure(error)
            raise
        result.save(run_dir)
    return result


class Run:
    """The parts of one training run, and what it has done so far."""

    def __init__(self, config: Mapping[str, Any], run_dir: Path, trial: int | None) -> None:
        self.config = config
        self.trial = trial
        self.checkpoints = run_dir / CHECKPOINTS
        self.run_dir = run_dir
        self.started = time.monotonic()
        self.update: Update | None = None
        self.selection: Selection | None = None
        self.applied: dict[str, Any] = {}
        self.evaluation_env_steps = 0
        self.unstable_robots = 0
        self.updates = config["training"]["env_steps"] // self.rollout

    def build(self) -> None:
        """Build the environment and the agent."""
        config, training, ppo = self.config, self.config["training"], self.config["ppo"]
        torch.set_num_threads(1)  # but for updates
        torch.manual_seed(config["seed"])
        self.checkpoints.mkdir()
        self.env = build_env(config, num_envs=training["num_envs"], seed=config["seed"])
        self.agent = build_agent(
            ppo,
            config["network"]["hidden_layer_sizes"],
            num_envs=training["num_envs"],
            env_steps=training["env_steps"],
            device=self.env.device,
        )
        if config["init_from"] is not None:
            load_checkpoint(self.agent, checkpoint_of(Path(config["init_from"])), optimizer=False)
        self.applied = applied_settings(self.agent) | applied_to(self.env)

    def learn_and_evaluate(self, bar: bool) -> dict[str, Any]:
        """Train to the end, then measure the best and the last checkpoint. Returns fields of the result."""
        self.selection = Selection(self.config, self.agent, self.checkpoints / "best.pt", self.updates)
        metric, env_steps = self.config["search"]["metric"], self.updates * self.rollout
        with Recorder(self.run_dir, metric, env_steps=env_steps, bar=bar) as recorder:
            on_update = partial(self._on_update, recorder)
            learn(self.agent, self.env, updates=self.updates, on_update=on_update, threads=update_threads(self.config))
        save_checkpoint(self.agent, self.checkpoints / "last.pt")
        last = self._evaluate()
        best = last
        if self.selection.best_update != self.updates:
            load_checkpoint(self.agent, self.checkpoints / "best.pt")
            best = self._evaluate()
        to_success = {"env_steps_to_success": self.selection.env_steps_to_success}
        return {
            "metrics": summarize(best) | to_success,
            "last_metrics": summarize(last) | to_success,
            "reward_terms": mean_reward_terms(best, self.env.reward_terms),
            "best_env_steps": self.selection.best_update * self.rollout,
        }

    @property
    def rollout(self) -> int:
        """Env steps per update."""
        return int(self.config["training"]["num_envs"] * self.config["ppo"]["rollouts"])

    def _on_update(self, recorder: Recorder, update: Update) -> None:
        assert self.selection is not None
        self.update = update
        self.unstable_robots = self.env.unstable_robots
        recorder.write(update, self.selection(update))

    def _evaluate(self) -> Episodes:
        """The held-out episodes that the reported metrics rest on."""
        env = build_env(self.config, num_envs=self.config["training"]["evaluation_episodes"], seed=0)
        episodes = evaluate(env, partial(mean_action, self.agent), self.config["evaluation"]["seed"])
        self.evaluation_env_steps += env.num_envs * env.max_steps
        self.unstable_robots += env.unstable_robots
        return episodes

    def save_traceback(self) -> None:
        """Write down where the run was when it ended early."""
        write_atomically(self.run_dir / "error.txt", traceback.format_exc())

    def record_failure(self, error: BaseException) -> None:
        """Write down an end that nobody foresaw, as far as the disk lets it: what is raised is the error itself."""
        status = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
        try:
            self.save_traceback()
            self.result(status, cause=cause_of(error)).save(self.run_dir)
        except OSError as other:
            error.add_note(f"{self.run_dir}: how the run ended cannot be recorded ({other})")

    def result(self, status: str, **found: Any) -> TrialResult:
        """What is known now, as a result."""
        selection_env_steps = self.selection.env_steps if self.selection else 0
        return TrialResult(
            status=status,
            trial=self.trial,
            seed=self.config["seed"],
            seeds=[self.config["seed"]],
            applied=self.applied,
            env_steps=self.update.env_steps if self.update else 0,
            evaluation_env_steps=self.evaluation_env_steps + selection_env_steps,
            wall_time_s=round(time.monotonic() - self.started, 3),
            unstable_robots=self.unstable_robots,
            **found,
        )


def update_threads(config: Mapping[str, Any]) -> int:
    """Threads of torch for updates: ``training.torch_threads``; null is as many as there are cores, within a bound."""
    return int(config["training"]["torch_threads"] or min(available_cores(), MAX_TORCH_THREADS))


def applied_to(env: NavigationEnv) -> dict[str, Any]:
    """The settings that the built environment really uses."""
    return {
        "seed": torch.initial_seed(),
        "num_envs": env.num_envs,
        "reward": {name: params["weight"] for name, params in env.reward_terms.items()},
    }
