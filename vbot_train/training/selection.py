"""Selection of the best checkpoint by held-out evaluations during training."""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from skrl.agents.torch.ppo import PPO

from vbot_train.agent.ppo import compute_mean_action, save_checkpoint
from vbot_train.agent.trainer import Update
from vbot_train.config.schema import Config
from vbot_train.env.environment import build_env
from vbot_train.evaluation.held_out import estimate_standard_errors, evaluate, summarize
from vbot_train.training.files import remove_file, write_atomically
from vbot_train.training.metrics import METRICS

KEPT = ("best_update", "env_steps", "env_steps_to_success", "is_good_enough")
SUCCESS = 0.9  # success rate at which env_steps_to_success is recorded


@dataclass(frozen=True, slots=True)
class Score:
    """Score of a checkpoint on the selection episodes. Higher is better."""

    value: float = -math.inf
    error: float = 0.0  # standard error

    def may_equal(self, best: "Score") -> bool:
        """Check whether this score is at most one standard error of the difference below the best score.

        The formula assumes independent evaluations. These share their start states, so the true error is slightly
        smaller.
        """
        return self.value >= best.value - math.hypot(self.error, best.error)


class Selection:
    """Keeps the latest checkpoint whose held-out score is within one standard error of the best score so far.

    The maximum of several noisy values favours luck, and among checkpoints that are statistically equal, the one that
    was trained longest falls least (LOG.md, 2026-11-24).

    Args:
        config: The composed config; ``search.metric`` is the metric to compare.
        agent: The agent in training.
        path: File that always holds the checkpoint selected so far.
        updates: Total number of updates; the last one is always evaluated.
        check: Called before every control step of an evaluation; an exception that it raises ends the evaluation.
    """

    def __init__(
        self,
        config: Config,
        agent: PPO,
        path: Path,
        updates: int,
        check: Callable[[], None] | None = None,
    ) -> None:
        evaluations = min(config.training.evaluations, updates)
        self._due = [round(updates * k / evaluations) for k in range(1, evaluations + 1)]
        self._check = check
        self._metric = config.search.metric
        self._stop_at_success = config.training.stop_at_success
        self._seed = config.evaluation.selection_seed
        self._env = build_env(config, num_envs=config.training.selection_episodes, seed=self._seed)
        self._agent = agent
        self._path = path
        self._best = Score()
        self._chosen: bytes | None = None  # content of the selected checkpoint's file
        self.best_update = 0
        self.env_steps = 0
        self.env_steps_to_success: int | None = None
        self.is_good_enough = False  # whether an evaluation reached ``training.stop_at_success``

    def __call__(self, update: Update) -> dict[str, float | None] | None:
        """Evaluate the agent if an evaluation is due after this update. Returns the metrics, None if none is due."""
        if update.number not in self._due:
            return None
        episodes = evaluate(self._env, partial(compute_mean_action, self._agent), self._seed, self._check)
        metrics = summarize(episodes)
        self.env_steps += self._env.num_envs * self._env.max_steps
        if self.env_steps_to_success is None and (metrics["success_rate"] or 0.0) >= SUCCESS:
            self.env_steps_to_success = update.env_steps
        if self._stop_at_success is not None and (metrics["success_rate"] or 0.0) >= self._stop_at_success:
            self.is_good_enough = True
        score = self._score(metrics.get(self._metric), estimate_standard_errors(episodes).get(self._metric, 0.0))
        if score.may_equal(self._best):
            self.best_update = update.number
            self._chosen = save_checkpoint(self._agent, self._path)
        self._best = max(self._best, score, key=lambda each: each.value)
        return metrics

    def count(self, update: int) -> int | None:
        """Return the number of the evaluation after an update, counted from 1; None if there is none."""
        return self._due.index(update) + 1 if update in self._due else None

    def state_dict(self) -> dict[str, Any]:
        """Return the selection so far, including the selected checkpoint as bytes (N,)."""
        chosen = None if self._chosen is None else torch.frombuffer(bytearray(self._chosen), dtype=torch.uint8)
        return {"best": asdict(self._best), "chosen": chosen, **{name: getattr(self, name) for name in KEPT}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the result of ``state_dict``. A checkpoint file that was selected later is removed or overwritten."""
        self._best = Score(**state["best"])
        for name in KEPT:
            setattr(self, name, state.get(name, False) if name == "is_good_enough" else state[name])  # a newer key
        self._chosen = None if state["chosen"] is None else state["chosen"].numpy().tobytes()
        if self._chosen is None:
            remove_file(self._path)
        elif not self._path.is_file() or self._path.read_bytes() != self._chosen:
            write_atomically(self._path, self._chosen)

    def _score(self, value: float | None, error: float) -> Score:
        """Convert a metric to a score; an unobserved metric gets the worst score."""
        if value is None:
            return Score()
        return Score(METRICS[self._metric].sign * value, error)
