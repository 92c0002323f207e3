"""Output of a run during training: progress.csv, TensorBoard events and a progress bar."""

import csv
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from skrl.utils.tensorboard import SummaryWriter

from vbot_train.agent.trainer import Update
from vbot_train.training.progress import PROGRESS_CSV
from vbot_train.training.row_files import EVENTS, drop_later_rows

# Held-out metrics written, with the optimized one, into the row of the update after which they were measured.
SELECTION_METRICS = ("episode_reward_mean", "success_rate", "fall_rate")


class Recorder:
    """Writes one CSV row per update and one TensorBoard event per value.

    Args:
        run_dir: The run's directory.
        metric: The metric to optimize; its held-out values are recorded.
        env_steps: Total number of env steps of the training.
        bar: Show a progress bar on the terminal.
        state: Result of ``state_dict`` to resume from; anything written later is dropped. None starts from scratch.
    """

    def __init__(
        self, run_dir: Path, metric: str, *, env_steps: int, bar: bool, state: Mapping[str, int] | None = None
    ) -> None:
        self._selected = dict.fromkeys([*SELECTION_METRICS, metric])
        self._run_dir = run_dir
        if state is not None:
            drop_later_rows(run_dir, state)
        self._file = (run_dir / PROGRESS_CSV).open("w" if state is None else "a", newline="", encoding="utf-8")
        columns = [f"selection_{name}" for name in self._selected]
        self._rows = csv.DictWriter(self._file, [*Update.__dataclass_fields__, *columns])
        if state is None:
            self._rows.writeheader()
        self._events = SummaryWriter(log_dir=str(run_dir))
        shown = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
        self._bar = Progress(*shown, TimeRemainingColumn(), disable=not bar)
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

    def state_dict(self) -> dict[str, int]:
        """Flush the files to the disk (safe against a power failure) and return their sizes [bytes], by name."""
        self._file.flush()
        self._events.flush()
        paths = [self._run_dir / PROGRESS_CSV, *self._run_dir.glob(EVENTS)]
        for path in paths:
            with path.open("rb+") as file:
                os.fsync(file.fileno())
        return {path.name: path.stat().st_size for path in paths}

    def write(self, update: Update, selection: Mapping[str, float | None] | None) -> dict[str, Any]:
        """Write one update, with the held-out metrics if they were measured after it. Returns the row."""
        row = asdict(update)
        if selection is not None:
            row |= {f"selection_{name}": selection.get(name) for name in self._selected}
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
        return row
