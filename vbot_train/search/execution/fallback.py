"""The outcome of a trial that has ended, read from its directory."""

import re
from pathlib import Path

from optuna.trial import FrozenTrial

from vbot_train.study.lives import read_lives
from vbot_train.training.files import replace_file
from vbot_train.training.locks import take
from vbot_train.training.result import FILE_NAME, ResultError, TrialResult
from vbot_train.training.run_directory import create_run_lock

KILLED_CAUSE = "its search was killed"
LOCK_TIMEOUT_S = 30.0  # for a trial's process that still holds the lock on its directory
LOG = "train.log"  # what a trial's process prints; there from its start
# A number with its sign, which "seed-3" has none of; what stands in its place; an address.
NUMBER = re.compile(r"0x[0-9a-f]+|(?:(?<!\w)[+-])?(?:\d+(?:\.\d+)?(?:e[+-]?\d+)?|\b(?:nan|inf)\b)", re.IGNORECASE)


def load_result_or_fallback(
    directory: Path, status: str, cause: str, *, trial: int, seed: int, wall_time_s: float
) -> TrialResult:
    """Load the result of a trial, or write one that says how it ended if there is none.

    A file that cannot be read is kept under another name. The trial's process may still be writing its result, so this
    waits for the lock on the directory.
    """
    directory.mkdir(parents=True, exist_ok=True)
    path, lock = directory / FILE_NAME, create_run_lock(directory)
    take(lock, LOCK_TIMEOUT_S)
    try:
        return TrialResult.load(directory)
    except ResultError:
        if path.exists():
            replace_file(path, path.with_suffix(".broken"))
        result = TrialResult(
            status=status, trial=trial, seed=seed, seeds=[seed], wall_time_s=round(wall_time_s, 3), cause=cause
        )
        result.save(directory)
        return result
    finally:
        lock.release()


def measure_last_life_s(trial: FrozenTrial, directory: Path) -> float:
    """Measure how long the last life of a killed trial was [s]: until it last wrote a file."""
    started_s = read_lives(trial)[-1].start.timestamp()
    files = [path for path in directory.rglob("*") if path.is_file() and path.name != FILE_NAME]  # may be written later
    written = [path.stat().st_mtime for path in files]
    return max(max(written, default=0.0) - started_s, 0.0)


def mask_numbers(cause: str) -> str:
    """Replace every number in a cause by ``#``, so that trials that ended alike have equal causes."""
    return NUMBER.sub("#", cause)
