"""The files to which a run appends one row or event per update, brought back to where a saved state left them."""

import os
from collections.abc import Mapping
from pathlib import Path

from vbot_train.training.files import remove_file
from vbot_train.training.progress import PROGRESS_CSV
from vbot_train.training.run_directory import StateError

EVENTS = "events.out.tfevents.*"


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
