"""One training run in steps (build, learn, evaluate), started from scratch or resumed from a saved state."""

import math
import time
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch

from vbot_train.agent.networks import Spaces
from vbot_train.agent.ppo import (
    build_agent,
    compute_mean_action,
    load_checkpoint,
    read_applied_settings,
    save_checkpoint,
)
from vbot_train.agent.trainer import TrainingLoop, Update
from vbot_train.config.composition import count_cores, find_checkpoint
from vbot_train.config.schema import Config
from vbot_train.env.environment import Environment, build_env
from vbot_train.env.episodes import Episodes
from vbot_train.evaluation.held_out import compute_mean_reward_terms, evaluate, summarize
from vbot_train.training.recorder import Recorder
from vbot_train.training.result import RESUMABLE, TrialResult, TrialStopped
from vbot_train.training.row_files import check_rows
from vbot_train.training.run_directory import CHECKPOINTS, StateError
from vbot_train.training.saved_state import (
    describe_machine,
    describe_reason,
    load_random_state,
    read_random_state,
    write_state,
)
from vbot_train.training.selection import Selection
from vbot_train.training.stop import Report, StopRequest

MAX_TORCH_THREADS = 4  # enough for such small networks; on two idle cores, two threads beat one (LOG.md, 2026-11-24)


class Run:
    """Environment, agent and progress of one training run."""

    def __init__(
        self,
        config: Config,
        recorded: Mapping[str, Any],
        run_dir: Path,
        trial: int | None,
        stop: StopRequest,
        report: Report,
        state_every_s: float,
    ) -> None:
        self.config = config
        self.recorded = recorded  # the config in plain containers, for the state
        self.trial = trial
        self.checkpoints = run_dir / CHECKPOINTS
        self.run_dir = run_dir
        self.stop = stop
        self.report = report
        self.state_every_s = state_every_s
        self.started = self.saved = time.monotonic()
        self.earlier_s = 0.0  # wall time [s] of the earlier processes of this run
        self.update: Update | None = None
        self.is_learning = False
        self.is_concluded = True  # whether the evaluation due after ``update``, if any, is finished
        self.selection: Selection | None = None
        self.applied: dict[str, Any] = {}
        self.machines = [describe_machine(config.simulation, count_update_threads(config))]  # on which it has trained
        self.evaluation_env_steps = 0
        self.unstable_robots = 0
        self.updates = config.updates

    def build(self, state: Mapping[str, Any] | None) -> None:
        """Build the environment and the agent, in their initial state or in the given state."""
        config, training = self.config, self.config.training
        torch.set_num_threads(1)  # except during updates
        torch.manual_seed(config.seed)
        self.env = build_env(config, num_envs=training.num_envs, seed=config.seed)
        self.agent = build_agent(
            config.ppo,
            config.network.hidden_layer_sizes,
            Spaces.of(self.env.observation_size, self.env.action_size),
            num_envs=training.num_envs,
            env_steps=training.env_steps,
            device=self.env.device,
        )
        self.applied = read_applied_settings(self.agent) | read_applied_to(self.env)
        if config.init_from is not None and state is None:
            load_checkpoint(self.agent, find_checkpoint(Path(config.init_from)), optimizer=False)
        self.loop = TrainingLoop(self.agent, self.env, updates=self.updates, threads=count_update_threads(config))
        best = self.checkpoints / "best.pt"
        self.selection = Selection(config, self.agent, best, self.updates, self.stop.check)
        if state is not None:
            self.load_state(state)

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restore a saved state.

        Raises:
            StateError: The state does not match this run.
        """
        assert self.selection is not None
        try:
            check_rows(self.run_dir, state["recorder"])
            self.update = None if state["update"] is None else Update(**state["update"])
            self.is_concluded = state["is_concluded"]
            self.earlier_s = state["wall_time_s"]
            self.machines = [*(each for each in state["machines"] if each != self.machines[-1]), self.machines[-1]]
            self.loop.load_state_dict(state["loop"])
            load_random_state(state["random"], self.env.device)
            self.unstable_robots = self.env.unstable_robots
            self.selection.load_state_dict(state["selection"])
        except (KeyError, TypeError, ValueError, RuntimeError, AttributeError, IndexError) as error:
            raise StateError(f"{self.run_dir}: its state does not fit ({describe_reason(error)})") from error

    def learn_and_evaluate(self, bar: bool, state: Mapping[str, Any] | None) -> dict[str, Any]:
        """Train to the end, then evaluate the best and the last checkpoint. Returns fields of the result."""
        assert self.selection is not None
        metric, env_steps = self.config.search.metric, self.updates * self.rollout
        recorded = None if state is None else state["recorder"]
        self.report({"kind": "begun", "env_steps": self.env_steps})
        with Recorder(self.run_dir, metric, env_steps=env_steps, bar=bar, state=recorded) as recorder:
            self.is_learning = True
            if state is None:
                self.save_state(recorder)
            self.learn(recorder)
        save_checkpoint(self.agent, self.checkpoints / "last.pt")
        last, best = self._evaluate_last_and_best(self.selection.best_update)
        to_success = {"env_steps_to_success": self.selection.env_steps_to_success}
        return {
            "metrics": summarize(best) | to_success,
            "last_metrics": summarize(last) | to_success,
            "last_episodes": len(last.robot),
            "reward_terms": compute_mean_reward_terms(best, self.env.reward_terms),
            "best_env_steps": self.selection.best_update * self.rollout,
        }

    def learn(self, recorder: Recorder) -> None:
        """Run the remaining updates. On an interruption, save the state before ``TrialStopped`` is raised."""
        assert self.selection is not None
        try:
            if self.update is not None and not self.is_concluded:
                self._conclude(self.update, recorder)
            self.stop.check()
            updates = iter(self.loop)
            while not self.selection.is_good_enough and (update := next(updates, None)) is not None:
                self.update = update
                self._conclude(update, recorder)
                self.stop.check()
        except TrialStopped as asked:
            if asked.status in RESUMABLE:
                self.save_state(recorder)
            raise

    @property
    def rollout(self) -> int:
        """Env steps per update."""
        return self.config.rollout_env_steps

    @property
    def env_steps(self) -> int:
        """Env steps trained so far."""
        return self.update.env_steps if self.update else 0

    @property
    def wall_time_s(self) -> float:
        """Wall time so far [s], including earlier processes of the same run."""
        return self.earlier_s + time.monotonic() - self.started

    def _conclude(self, update: Update, recorder: Recorder) -> None:
        """Evaluate if an evaluation is due after this update, write its row, and save the state if that is due."""
        assert self.selection is not None
        self.unstable_robots = self.env.unstable_robots
        self.is_concluded = False
        selected = self.selection(update)
        row = recorder.write(update, selected)
        self.is_concluded = True
        number = {} if selected is None else {"evaluation": self.selection.count(update.number)}
        self.report({"kind": "update", **{key: _replace_non_finite(value) for key, value in row.items()}, **number})
        if selected is not None or time.monotonic() - self.saved >= self.state_every_s:
            self.save_state(recorder)

    def save_state(self, recorder: Recorder) -> None:
        """Write everything that the next updates depend on to ``checkpoints/state.pt``."""
        assert self.selection is not None
        parts = {
            "update": asdict(self.update) if self.update else None,
            "is_concluded": self.is_concluded,
            "wall_time_s": self.wall_time_s,
            "machines": self.machines,
            "loop": self.loop.state_dict(),
            "random": read_random_state(self.env.device),
            "selection": self.selection.state_dict(),
            "recorder": recorder.state_dict(),
        }
        write_state(self.run_dir, self.recorded, self.machines[-1], parts)
        self.saved = time.monotonic()
        self.report({"kind": "state", "env_steps": self.env_steps})

    def _evaluate_last_and_best(self, best_update: int) -> tuple[Episodes, Episodes]:
        """Evaluate both checkpoints, the last one on fewer episodes; once if they are the same."""
        training = self.config.training
        if self.update is not None and best_update == self.update.number:
            episodes = self._evaluate(training.evaluation_episodes)
            return episodes, episodes
        last = self._evaluate(training.last_episodes)
        load_checkpoint(self.agent, self.checkpoints / "best.pt")
        return last, self._evaluate(training.evaluation_episodes)

    def _evaluate(self, episodes: int) -> Episodes:
        """Evaluate the agent; return the held-out episodes from which the reported metrics are computed."""
        env = build_env(self.config, num_envs=episodes, seed=0)
        seed = self.config.evaluation.seed
        ended = evaluate(env, partial(compute_mean_action, self.agent), seed, self.stop.check)
        self.evaluation_env_steps += env.num_envs * env.max_steps
        self.unstable_robots += env.unstable_robots
        return ended

    def result(self, status: str, **found: Any) -> TrialResult:
        """Build the result from what is known at this point."""
        selection_env_steps = self.selection.env_steps if self.selection else 0
        return TrialResult(
            status=status,
            trial=self.trial,
            seed=self.config.seed,
            seeds=[self.config.seed],
            applied=self.applied,
            env_steps=self.env_steps,
            evaluation_env_steps=self.evaluation_env_steps + selection_env_steps,
            wall_time_s=round(self.wall_time_s, 3),
            unstable_robots=self.unstable_robots,
            machines=self.machines if len(self.machines) > 1 else [],
            **found,
        )


def _replace_non_finite(value: float | None) -> float | None:
    """Replace NaN and infinity, which standard JSON does not allow, by None."""
    return value if value is None or math.isfinite(value) else None


def count_update_threads(config: Config) -> int:
    """Return torch's threads for updates: ``training.torch_threads``, if null the core count, capped at a maximum."""
    return config.training.torch_threads or min(count_cores(), MAX_TORCH_THREADS)


def read_applied_to(env: Environment) -> dict[str, Any]:
    """Return the settings that the built environment actually uses."""
    return {
        "seed": torch.initial_seed(),
        "num_envs": env.num_envs,
        "reward": {name: term.weight for name, term in env.reward_terms.items()},
    }
