"""Choosing the checkpoint: held-out evaluation while the agent trains."""

import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from skrl.agents.torch.ppo import PPO

from vbot_train.agent.ppo import mean_action, save_checkpoint
from vbot_train.agent.trainer import Update
from vbot_train.evaluation.held_out import build_env, evaluate, summarize
from vbot_train.result import METRICS

SUCCESS = 0.9  # the success rate that env_steps_to_success waits for


class Selection:
    """Keeps the checkpoint that does best on held-out episodes, as it trains.

    Args:
        config: The composed config; ``search.metric`` says what is best, ties go to the higher reward.
        agent: The agent in training.
        path: The file that always holds the best checkpoint so far.
        updates: Length of the training; the last update is always evaluated.
    """

    def __init__(self, config: Mapping[str, Any], agent: PPO, path: Path, updates: int) -> None:
        evaluations = min(config["training"]["evaluations"], updates)
        self._due = {round(updates * k / evaluations) for k in range(1, evaluations + 1)}
        self._metric = config["search"]["metric"]
        self._seed = config["evaluation"]["selection_seed"]
        self._env = build_env(config, num_envs=config["training"]["selection_episodes"], seed=self._seed)
        self._agent = agent
        self._path = path
        self._best = (-math.inf, -math.inf)
        self.best_update = 0
        self.env_steps = 0
        self.env_steps_to_success: int | None = None

    def __call__(self, update: Update) -> dict[str, float | None] | None:
        """Evaluate if one is due after this update. Returns its metrics."""
        if update.number not in self._due:
            return None
        metrics = summarize(evaluate(self._env, partial(mean_action, self._agent), self._seed))
        self.env_steps += self._env.num_envs * self._env.max_steps
        if self.env_steps_to_success is None and (metrics["success_rate"] or 0.0) >= SUCCESS:
            self.env_steps_to_success = update.env_steps
        score = (self._score(metrics.get(self._metric)), self._score(metrics["episode_reward_mean"], "maximize"))
        if self.best_update == 0 or score > self._best:
            self._best, self.best_update = score, update.number
            save_checkpoint(self._agent, self._path)
        return metrics

    def _score(self, value: float | None, direction: str | None = None) -> float:
        """Higher is better; a metric that was not observed is worst."""
        if value is None:
            return -math.inf
        return value if (direction or METRICS[self._metric]) == "maximize" else -value
