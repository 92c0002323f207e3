"""A single training run on the command line: check, train, show."""

import signal
import types
from pathlib import Path
from typing import NoReturn

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from vbot_train.checks import check_config
from vbot_train.config import ConfigError, plain, with_absolute_paths
from vbot_train.signals import handle_stop_signals, quit_at_once
from vbot_train.training.result import TrialResult, write_atomically
from vbot_train.training.run_directory import record_early_end

HIDDEN = "***"  # stands for a storage's URL in a record


class RunInterrupted(KeyboardInterrupt):
    """Somebody outside told the run to end."""

    def __init__(self, number: int) -> None:
        super().__init__(f"told to stop ({signal.Signals(number).name})")
        self.number = number


def run_single(config: DictConfig) -> None:
    """Train one configuration in Hydra's output directory.

    Raises:
        SystemExit: With one line, where the config cannot train, training diverged, the disk is full or a signal came.
    """
    run_dir = Path(HydraConfig.get().runtime.output_dir)
    handle_stop_signals(interrupt)
    try:
        result = train_recorded(config, run_dir)
    except ConfigError as error:
        raise SystemExit(str(error)) from error
    except RunInterrupted as stop:
        print(f"interrupted: {stop}; what was learned lies in {run_dir}")  # noqa: T201 - the command's output
        raise SystemExit(128 + stop.number) from None
    except OSError as error:  # a disk that is full
        raise SystemExit(f"{error}; what was written before lies in {run_dir}") from error
    if result.status != "completed":
        raise SystemExit(f"{result.status}: {result.cause}; see {run_dir}")
    from vbot_train.evaluation.held_out import metrics_table

    console = Console()
    console.print(metrics_table(result.metrics))
    console.print(
        f"{result.env_steps:,} env steps in {result.wall_time_s:.0f} s; results in {run_dir}", highlight=False
    )


def train_recorded(config: DictConfig, run_dir: Path) -> TrialResult:
    """Train in a directory that is ours; every end is written down there."""
    node = HydraConfig.get()
    trial = None if OmegaConf.is_missing(node.job, "num") else node.job.num
    try:
        job = with_absolute_paths(plain(config), Path(node.runtime.cwd))
        check_config(job)
        record_config(job, run_dir)
        from vbot_train.training.train import train

        return train(job, run_dir, trial=trial, bar=True)
    except (Exception, KeyboardInterrupt) as error:
        status = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
        try:
            record_early_end(run_dir, status, error, trial=trial, seed=config.seed)
        except OSError as other:  # a disk that is full does not change why the run ended
            error.add_note(f"{run_dir}: how the run ended cannot be recorded ({other})")
        raise


def record_config(job: dict[str, object], run_dir: Path) -> None:
    """Put what the run trains on in place of Hydra's record of it, whose interpolations change with the time of day
    and the environment. A storage's URL may hold a password, which no run needs and no file may hold.
    """
    record, storage = run_dir / ".hydra", job["storage"]
    write_atomically(record / "config.yaml", OmegaConf.to_yaml(OmegaConf.create({**job, "storage": None})))
    if isinstance(storage, str):
        for path in (record / "overrides.yaml", record / "hydra.yaml"):
            write_atomically(path, path.read_text(encoding="utf-8").replace(storage, HIDDEN))


def interrupt(number: int, frame: types.FrameType | None) -> NoReturn:
    """Let the first signal end the run in order, and the second at once."""
    handle_stop_signals(quit_at_once)
    raise RunInterrupted(number)
