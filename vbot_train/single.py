"""A single training run on the command line: check, train, show."""

import signal
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from vbot_train.checks import check_config
from vbot_train.config import ConfigError, plain


def run_single(config: DictConfig) -> None:
    """Train one configuration in Hydra's output directory.

    Raises:
        SystemExit: With one line, where the config cannot train, training diverged or Ctrl-C was pressed.
    """
    node = HydraConfig.get()
    run_dir = Path(node.runtime.output_dir)
    trial = None if OmegaConf.is_missing(node.job, "num") else node.job.num
    job = plain(config)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        check_config(job)
        from vbot_train.evaluation.held_out import metrics_table
        from vbot_train.train import train

        result = train(job, run_dir, trial=trial, bar=True)
    except ConfigError as error:
        raise SystemExit(str(error)) from error
    except KeyboardInterrupt:
        print(f"interrupted; what was learned lies in {run_dir}")  # noqa: T201 - the command's output
        raise SystemExit(130) from None
    if result.status != "completed":
        raise SystemExit(f"{result.status}: {result.cause}; see {run_dir}")
    console = Console()
    console.print(metrics_table(result.metrics))
    console.print(
        f"{result.env_steps:,} env steps in {result.wall_time_s:.0f} s; results in {run_dir}", highlight=False
    )
