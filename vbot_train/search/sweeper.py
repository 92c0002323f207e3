"""Hydra sweeper that runs a search.

Hydra scans this class, so its work is in other modules, imported late: ``--help`` does not import Optuna.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import MISSING, DictConfig

from vbot_train.config.composition import ConfigError
from vbot_train.study.errors import StudyError
from vbot_train.study.layout import WORKERS

BASIC_LAUNCHER = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"


@dataclass
class VBotSweeperConf:
    """Config node of ``hydra/sweeper=vbot``."""

    _target_: str = "vbot_train.search.sweeper.VBotSweeper"
    defaults: list[Any] = field(default_factory=lambda: [{"sampler": "grid"}])
    sampler: Any = MISSING  # one of hydra-optuna-sweeper's options; conf/method/ chooses
    params: dict[str, str] | None = None  # what varies: sweep expressions by key; conf/search/ sets it


ConfigStore.instance().store(group="hydra/sweeper", name="vbot", node=VBotSweeperConf, provider="vbot_train")


class VBotSweeper(Sweeper):
    """Grid, random and Bayesian searches, each trial in a process of its own.

    ``trial_module`` is the module that such a process runs; tests and benchmarks replace it, to train nothing.
    """

    trial_module = "vbot_train.training.trial"

    def __init__(self, **settings: Any) -> None:
        """Ignore the keys of its config node, which Hydra passes: a search reads them from the composed config."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Store what Hydra passes before the sweep."""
        self.hydra_context = hydra_context
        self.task_function = task_function
        self.config = config

    def sweep(self, arguments: list[str]) -> None:
        """Run the search in this process, or with a launcher other than Hydra's basic one in that launcher's jobs.

        Args:
            arguments: Overrides of the command line.
        """
        from vbot_train.search.run import run_search

        assert self.config is not None and self.hydra_context is not None
        here = self.config.hydra.launcher._target_ == BASIC_LAUNCHER
        launch = None if here else self._launch
        try:
            run_search(arguments, self.config, self.hydra_context, launch, trial_module=self.trial_module)
        except StudyError as error:  # Hydra prints a ConfigError in one line, without a traceback
            raise ConfigError(str(error)) from error

    def _launch(self, directory: Path, workers: int) -> None:
        """Let the launcher run workers on one study, each a Hydra job that calls ``launched.run_worker``."""
        assert self.config is not None and self.hydra_context is not None and self.task_function is not None
        from vbot_train.search.launched import export_command
        from vbot_train.search.naming import format_as_override

        export_command()
        launcher = Plugins.instance().instantiate_launcher(
            hydra_context=self.hydra_context, task_function=self.task_function, config=self.config
        )
        place = [f"hydra.sweep.dir={directory.resolve()}", format_as_override(directory.name)]
        jobs = [[*place, f"workers={workers}", f"hydra.sweep.subdir={WORKERS}/{n}"] for n in range(workers)]
        for job in launcher.launch(jobs, 0):
            _ = job.return_value  # raises what the job raised
