"""A single training run from the command line: check the config, train, print the result."""

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
from vbot_train.terminal import name_command
from vbot_train.training.files import write_atomically
from vbot_train.training.result import TrialResult, TrialStopped
from vbot_train.training.run_directory import record_early_end, state_path
from vbot_train.training.stop import StopRequest

HIDDEN = "***"  # replaces the storage URL in recorded files


class RunInterrupted(KeyboardInterrupt):
    """The run received a stop signal before learning started, when there is no state to save."""


class Interruption:
    """Handler of stop signals: the first one requests a clean stop, the second one exits immediately.

    A clean stop is possible only during learning: the run then stops between two updates and saves its state. Before
    that, the first signal raises ``RunInterrupted``.
    """

    def __init__(self) -> None:
        self.stop = StopRequest()
        self.number = 0  # of the last signal, 0 if there was none
        self._is_learning = False

    def __call__(self, number: int, frame: types.FrameType | None) -> None:
        """Handle a stop signal."""
        handle_stop_signals(quit_at_once)
        self.number = number
        cause = f"told to stop ({signal.Signals(number).name})"
        if not self._is_learning:
            raise RunInterrupted(cause)
        self.stop.stop("interrupted", cause)

    def report(self, event: Mapping[str, Any]) -> None:
        """Receive an event from the training run; ``begun`` means that learning starts."""
        if event["kind"] != "begun":
            return
        self._is_learning = True
        if event["env_steps"] > 0:
            print(f"continues at {event['env_steps']:,} env steps")  # noqa: T201 - the command's output


def run_single(config: DictConfig) -> None:
    """Train one configuration in Hydra's output directory, or resume it there.

    Raises:
        SystemExit: With a one-line message: the config is invalid, training diverged, the disk is full, or a stop
            signal arrived.
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
    except OSError as error:  # for example, the disk is full
        line = f"; to go on: {format_line_to_continue(sys.argv[1:], run_dir)}" if state_path(run_dir).exists() else ""
        raise SystemExit(f"{error}; what was written before lies in {run_dir}{line}") from error
    if result.status != "completed":
        raise SystemExit(f"{result.status}: {result.cause}; see {run_dir}")
    from vbot_train.evaluation.held_out import build_metrics_table

    console = Console()
    console.print(build_metrics_table(result.metrics))
    console.print(
        f"{result.env_steps:,} env steps in {result.wall_time_s:.0f} s; results in {run_dir}", highlight=False
    )


def train_recorded(config: DictConfig, run_dir: Path, interruption: Interruption) -> TrialResult:
    """Train in the run's directory and record any failure there, unless the run can be resumed."""
    node = HydraConfig.get()
    trial = None if OmegaConf.is_missing(node.job, "num") else node.job.num
    try:
        job = with_absolute_paths(to_plain(config), Path(node.runtime.cwd))
        record_config(job, check_config(job).storage, run_dir)
        from vbot_train.training.train import train

        return train(job, run_dir, trial=trial, bar=True, stop=interruption.stop, report=interruption.report)
    except Exception as error:
        try:
            if not state_path(run_dir).exists():
                record_early_end(run_dir, "failed", error, trial=trial, seed=config.seed)
        except OSError as other:  # a full disk must not hide why the run ended
            error.add_note(f"{run_dir}: how the run ended cannot be recorded ({other})")
        raise


def format_line_to_continue(arguments: Sequence[str], run_dir: Path) -> str:
    """Return the command line that resumes a run: the original one plus the run's directory.

    Args:
        arguments: The arguments of that command line.
        run_dir: The run's directory.
    """
    kept = [argument for argument in arguments if not argument.startswith("hydra.run.dir=")]
    directory = str(run_dir)
    if not re.fullmatch(r"[\w /.:@%+-]+", directory):  # Hydra accepts other characters only in quotes
        directory = "'" + directory.replace("'", r"\'") + "'"
    return f"{name_command()} {shlex.join([*kept, f'hydra.run.dir={directory}'])}"


def record_config(job: Mapping[str, Any], storage: str | None, run_dir: Path) -> None:
    """Replace Hydra's recorded config by the resolved one, and remove the storage URL.

    Interpolations in Hydra's record depend on the time of day and on environment variables. The storage URL may contain
    a password, which no run needs and no file may contain.
    """
    record = run_dir / ".hydra"
    write_atomically(record / "config.yaml", OmegaConf.to_yaml(OmegaConf.create({**job, "storage": None})))
    if storage is not None:
        for path in (record / "overrides.yaml", record / "hydra.yaml"):
            write_atomically(path, path.read_text(encoding="utf-8").replace(storage, HIDDEN))
