"""A single training run on the command line: check, train, show."""

import re
import shlex
import signal
import sys
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from vbot_train.config.checks import check_config
from vbot_train.config.composition import ConfigError, to_plain, with_absolute_paths
from vbot_train.signals import handle_stop_signals, quit_at_once
from vbot_train.training.files import write_atomically
from vbot_train.training.result import TrialResult, TrialStopped
from vbot_train.training.run_directory import record_early_end, state_path
from vbot_train.training.stop import StopRequest

HIDDEN = "***"  # stands for a storage's URL in a record


class RunInterrupted(KeyboardInterrupt):
    """Somebody outside told the run to end, and it had nothing to put in order."""


class Interruption:
    """What the signals do that ask a run to end: the first one ends it in order, the second at once.

    There is an order only while it learns: then it stops between two updates, with its state on the disk.
    """

    def __init__(self) -> None:
        self.stop = StopRequest()
        self.number = 0  # of the signal, 0 before there was one
        self._is_learning = False

    def __call__(self, number: int, frame: types.FrameType | None) -> None:
        """Handle a signal."""
        handle_stop_signals(quit_at_once)
        self.number = number
        cause = f"told to stop ({signal.Signals(number).name})"
        if not self._is_learning:
            raise RunInterrupted(cause)
        self.stop.stop("interrupted", cause)

    def report(self, event: Mapping[str, Any]) -> None:
        """Hear from the training that it learns."""
        if event["kind"] != "begun":
            return
        self._is_learning = True
        if event["env_steps"] > 0:
            print(f"continues at {event['env_steps']:,} env steps")  # noqa: T201 - the command's output


def run_single(config: DictConfig) -> None:
    """Train one configuration in Hydra's output directory, or go on with it there.

    Raises:
        SystemExit: With one line, where the config cannot train, training diverged, the disk is full or a signal came.
    """
    run_dir = Path(HydraConfig.get().runtime.output_dir)
    interruption = Interruption()
    handle_stop_signals(interruption)
    try:
        result = train_recorded(config, run_dir, interruption)
    except ConfigError as error:
        raise SystemExit(str(error)) from error
    except (RunInterrupted, TrialStopped) as asked:
        print(f"interrupted: {asked}; to go on: {format_line_to_continue(sys.argv[1:], run_dir)}")  # noqa: T201 - as above
        raise SystemExit(128 + interruption.number) from None
    except OSError as error:  # a disk that is full
        raise SystemExit(f"{error}; what was written before lies in {run_dir}") from error
    if result.status != "completed":
        raise SystemExit(f"{result.status}: {result.cause}; see {run_dir}")
    from vbot_train.evaluation.held_out import build_metrics_table

    console = Console()
    console.print(build_metrics_table(result.metrics))
    console.print(
        f"{result.env_steps:,} env steps in {result.wall_time_s:.0f} s; results in {run_dir}", highlight=False
    )


def train_recorded(config: DictConfig, run_dir: Path, interruption: Interruption) -> TrialResult:
    """Train in a directory that is ours; every end is written down there, unless the training can go on from it."""
    node = HydraConfig.get()
    trial = None if OmegaConf.is_missing(node.job, "num") else node.job.num
    try:
        job = with_absolute_paths(to_plain(config), Path(node.runtime.cwd))
        check_config(job)
        record_config(job, run_dir)
        from vbot_train.training.train import train

        return train(job, run_dir, trial=trial, bar=True, stop=interruption.stop, report=interruption.report)
    except Exception as error:
        try:
            if not state_path(run_dir).exists():
                record_early_end(run_dir, "failed", error, trial=trial, seed=config.seed)
        except OSError as other:  # a disk that is full does not change why the run ended
            error.add_note(f"{run_dir}: how the run ended cannot be recorded ({other})")
        raise


def format_line_to_continue(arguments: Sequence[str], run_dir: Path) -> str:
    """The command line that continues a run: the same one, with its directory.

    Args:
        arguments: What was typed after ``python -m vbot_train``.
        run_dir: The run's directory.
    """
    kept = [argument for argument in arguments if not argument.startswith("hydra.run.dir=")]
    directory = str(run_dir)
    if not re.fullmatch(r"[\w /.:@%+-]+", directory):  # Hydra takes other letters in quotes only
        directory = "'" + directory.replace("'", r"\'") + "'"
    return shlex.join(["python", "-m", "vbot_train", *kept, f"hydra.run.dir={directory}"])


def record_config(job: dict[str, object], run_dir: Path) -> None:
    """Put what the run trains on in place of Hydra's record of it, whose interpolations change with the time of day
    and the environment. A storage's URL may hold a password, which no run needs and no file may hold.
    """
    record, storage = run_dir / ".hydra", job["storage"]
    write_atomically(record / "config.yaml", OmegaConf.to_yaml(OmegaConf.create({**job, "storage": None})))
    if isinstance(storage, str):
        for path in (record / "overrides.yaml", record / "hydra.yaml"):
            write_atomically(path, path.read_text(encoding="utf-8").replace(storage, HIDDEN))
