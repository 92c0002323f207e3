"""Choosing the checkpoint: held-out evaluation while the agent trains."""

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
from vbot_train.evaluation.held_out import build_env, estimate_standard_errors, evaluate, summarize
from vbot_train.training.files import write_atomically
from vbot_train.training.result import METRICS

KEPT = ("best_update", "env_steps", "env_steps_to_success")
SUCCESS = 0.9  # the success rate that env_steps_to_success waits for


@dataclass(frozen=True, slots=True)
class Score:
    """What a checkpoint reached on a few episodes. Higher is better."""

    value: float = -math.inf
    error: float = 0.0  # standard error

    def may_equal(self, best: "Score") -> bool:
        """Whether it is as good as the best, or worse by no more than chance: one standard error of the difference.

        Of independent evaluations, that is; these share their starts, so chance is a little smaller.
        """
        return self.value >= best.value - math.hypot(self.error, best.error)


class Selection:
    """Keeps the latest checkpoint that is as good as any before, on held-out episodes, as it trains.

    As good: within a standard error. The best of several noisy values is the luckiest, and of checkpoints that cannot
    be told apart the one that has learnt for longest falls least (LOG.md, 2026-11-24).

    Args:
        config: The composed config; ``search.metric`` says what is best.
        agent: The agent in training.
        path: The file that always holds the chosen checkpoint so far.
        updates: Length of the training; the last update is always evaluated.
        check: Called before every control step of an evaluation; what it raises ends it.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        agent: PPO,
        path: Path,
        updates: int,
        check: Callable[[], None] | None = None,
    ) -> None:
        evaluations = min(config["training"]["evaluations"], updates)
        self._due = [round(updates * k / evaluations) for k in range(1, evaluations + 1)]
        self._check = check
        self._metric = config["search"]["metric"]
        self._seed = config["evaluation"]["selection_seed"]
        self._env = build_env(config, num_envs=config["training"]["selection_episodes"], seed=self._seed)
        self._agent = agent
        self._path = path
        self._best = Score()
        self._chosen: bytes | None = None  # what the chosen checkpoint's file holds
        self.best_update = 0
        self.env_steps = 0
        self.env_steps_to_success: int | None = None

    def __call__(self, update: Update) -> dict[str, float | None] | None:
        """Evaluate if one is due after this update. Returns its metrics."""
        if update.number not in self._due:
            return None
        episodes = evaluate(self._env, partial(compute_mean_action, self._agent), self._seed, self._check)
        metrics = summarize(episodes)
        self.env_steps += self._env.num_envs * self._env.max_steps
        if self.env_steps_to_success is None and (metrics["success_rate"] or 0.0) >= SUCCESS:
            self.env_steps_to_success = update.env_steps
        score = self._score(metrics.get(self._metric), estimate_standard_errors(episodes).get(self._metric, 0.0))
        if score.may_equal(self._best):
            self.best_update = update.number
            self._chosen = save_checkpoint(self._agent, self._path)
        self._best = max(self._best, score, key=lambda each: each.value)
        return metrics

    def count(self, update: int) -> int | None:
        """The number of the evaluation that follows an update, from 1; None if there is none."""
        return self._due.index(update) + 1 if update in self._due else None

    def state_dict(self) -> dict[str, Any]:
        """What was chosen so far, with the checkpoint itself as bytes (N,)."""
        chosen = None if self._chosen is None else torch.frombuffer(bytearray(self._chosen), dtype=torch.uint8)
        return {"best": asdict(self._best), "chosen": chosen, **{name: getattr(self, name) for name in KEPT}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what ``state_dict`` told. A checkpoint that was chosen later belongs to another timeline."""
        self._best = Score(**state["best"])
        for name in KEPT:
            setattr(self, name, state[name])
        self._chosen = None if state["chosen"] is None else state["chosen"].numpy().tobytes()
        if self._chosen is None:
            self._path.unlink(missing_ok=True)
        elif not self._path.is_file() or self._path.read_bytes() != self._chosen:
            write_atomically(self._path, self._chosen)

    def _score(self, value: float | None, error: float) -> Score:
        """A metric that was not observed is worst."""
        if value is None:
            return Score()
        return Score(value if METRICS[self._metric] == "maximize" else -value, error)
