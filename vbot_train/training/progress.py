"""Read ``progress.csv``, to which training appends one row per update."""

import csv
import io
from pathlib import Path

PROGRESS_CSV = "progress.csv"


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


def read_held_out_values(run_dir: Path, metric: str) -> list[float | None]:
    """Return a metric's value at each held-out evaluation of a run; None where nothing was observed.

    A run without progress has none.
    """
    path = run_dir / PROGRESS_CSV
    rows = read_whole_rows(path) if path.exists() else []
    evaluated = [row for row in rows if row.get("selection_episode_reward_mean")]  # which is always observed
    texts = [row.get(f"selection_{metric}") for row in evaluated]
    return [float(text) if text else None for text in texts]
