"""Hydra's sweeper: open the study, run the loop, finish.

The class that Hydra scans stands apart from the work, so that ``--help`` does not import Optuna.
"""

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import MISSING, DictConfig


@dataclass
class VBotSweeperConf:
    """Node of ``hydra/sweeper=vbot``."""

    _target_: str = "vbot_train.search.sweeper.VBotSweeper"
    defaults: list[Any] = field(default_factory=lambda: [{"sampler": "grid"}])
    sampler: Any = MISSING  # one of hydra-optuna-sweeper's options; conf/method/ chooses
    params: dict[str, str] | None = None  # what varies: sweep expressions by key; conf/search/ sets it


ConfigStore.instance().store(group="hydra/sweeper", name="vbot", node=VBotSweeperConf, provider="vbot_train")


class VBotSweeper(Sweeper):
    """Grid, random and Bayesian searches, each trial in a process of its own.

    Args:
        sampler: Config of the sampler.
        params: What varies.
    """

    def __init__(self, sampler: DictConfig, params: DictConfig | None) -> None:
        self.sampler = sampler
        self.params = params

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Called by Hydra before the sweep."""
        self.hydra_context = hydra_context
        self.config = config

    def sweep(self, arguments: list[str]) -> None:
        """Run the search.

        Args:
            arguments: Overrides of the command line.
        """
        from vbot_train.search.run import run_search

        assert self.config is not None and self.hydra_context is not None
        run_search(self.sampler, dict(self.params or {}), arguments, self.config, self.hydra_context)
