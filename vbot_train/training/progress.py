"""The progress of a run on the disk: ``progress.csv``, with one row per update, and TensorBoard's event files."""

import csv
import io
import os
from collections.abc import Mapping
from pathlib import Path

from vbot_train.training.files import remove_file
from vbot_train.training.run_directory import StateError

PROGRESS_CSV = "progress.csv"
EVENTS = "events.out.tfevents.*"


def read_whole_rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file that is still being written, without an incomplete last row."""
    text, _, _ = path.read_text(encoding="utf-8").rpartition("\n")
    return list(csv.DictReader(io.StringIO(text)))


def read_last_env_steps(run_dir: Path) -> int:
    """Return the env steps in the last complete row of a run's progress, 0 if there is none."""
    try:
        return int(read_whole_rows(run_dir / PROGRESS_CSV)[-1]["env_steps"])
    except (OSError, IndexError, KeyError, TypeError, ValueError):
        return 0


def check_rows(run_dir: Path, sizes: Mapping[str, int]) -> None:
    """Check that no rows of ``progress.csv`` are missing, before a run is resumed.

    Args:
        run_dir: The run's directory.
        sizes: Result of ``Recorder.state_dict``.

    Raises:
        StateError: Rows are missing.
    """
    progress = run_dir / PROGRESS_CSV
    if not progress.is_file() or progress.stat().st_size < sizes[PROGRESS_CSV]:
        raise StateError(f"{progress}: rows are missing that the training to be continued has written")


def drop_later_rows(run_dir: Path, sizes: Mapping[str, int]) -> None:
    """Truncate every file to its recorded size, and remove event files that are newer."""
    for path in (run_dir / PROGRESS_CSV, *run_dir.glob(EVENTS)):
        if path.name not in sizes:
            remove_file(path)
        elif path.stat().st_size > sizes[path.name]:
            os.truncate(path, sizes[path.name])
