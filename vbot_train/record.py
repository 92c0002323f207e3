"""What a run writes while it trains: progress.csv, TensorBoard events, a progress bar."""

import csv
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from skrl.utils.tensorboard import SummaryWriter

from vbot_train.agent.trainer import Update

PROGRESS_CSV = "progress.csv"
# Held-out metrics that stand in the row of the update after which they were measured.
SELECTION_COLUMNS = ("selection_episode_reward_mean", "selection_success_rate", "selection_fall_rate")


class Recorder:
    """Writes one row per update, and one event per number.

    Args:
        run_dir: The run's directory.
        env_steps: Length of the training.
        bar: Show a progress bar on the terminal.
    """

    def __init__(self, run_dir: Path, *, env_steps: int, bar: bool) -> None:
        self._file = (run_dir / PROGRESS_CSV).open("w", newline="")
        self._rows = csv.DictWriter(self._file, [*Update.__dataclass_fields__, *SELECTION_COLUMNS])
        self._rows.writeheader()
        self._events = SummaryWriter(log_dir=str(run_dir))
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
        self._bar = Progress(*columns, TimeRemainingColumn(), disable=not bar)
        self._task = self._bar.add_task("starting", total=env_steps)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
        self._events.close()
        self._file.close()

    def write(self, update: Update, selection: Mapping[str, float | None] | None) -> None:
        """Record an update, and the held-out metrics if they were measured after it."""
        row = asdict(update)
        if selection is not None:
            row |= {name: selection[name.removeprefix("selection_")] for name in SELECTION_COLUMNS}
        self._rows.writerow(row)
        self._file.flush()
        for name, value in row.items():
            if name not in ("number", "env_steps") and value is not None:
                self._events.add_scalar(tag=name, value=value, timestep=update.env_steps)
        text = f"{update.env_steps_per_s:,.0f} env steps/s  reward {update.reward:.2f}"
        self._bar.update(
            self._task,
            completed=update.env_steps,
            description=f"{text}  success {update.success_rate:.0%}  falls {update.fall_rate:.0%}",
        )
