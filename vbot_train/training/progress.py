"""What a training has written so far: ``progress.csv``, one row per update."""

import csv
import io
from pathlib import Path

PROGRESS_CSV = "progress.csv"


def read_whole_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file that is being written, but for one that is half there."""
    text, _, _ = path.read_text(encoding="utf-8").rpartition("\n")
    return list(csv.DictReader(io.StringIO(text)))


def read_last_env_steps(run_dir: Path) -> int:
    """Env steps in the last whole row of a training's progress, 0 before the first."""
    try:
        return int(read_whole_rows(run_dir / PROGRESS_CSV)[-1]["env_steps"])
    except (OSError, IndexError, KeyError, TypeError, ValueError):
        return 0
