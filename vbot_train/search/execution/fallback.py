"""What is known of a trial that has ended from what it left in its directory."""

import re
from pathlib import Path

from optuna.trial import FrozenTrial

from vbot_train.study.lives import read_lives
from vbot_train.training.files import replace_file
from vbot_train.training.locks import take
from vbot_train.training.result import FILE_NAME, ResultError, TrialResult
from vbot_train.training.run_directory import create_run_lock

KILLED_CAUSE = "its search was killed"
PATIENCE_S = 30.0  # with a trial's process that still owns its directory
LOG = "train.log"  # what a trial's process prints; there from its start
# A number with its sign, which "seed-3" has none of; what stands in its place; an address.
NUMBER = re.compile(r"0x[0-9a-f]+|(?:(?<!\w)[+-])?(?:\d+(?:\.\d+)?(?:e[+-]?\d+)?|\b(?:nan|inf)\b)", re.IGNORECASE)


def load_result_or_fallback(
    directory: Path, status: str, cause: str, *, trial: int, seed: int, wall_time_s: float
) -> TrialResult:
    """The result that a trial left; where it left none, one that says how it ended. What cannot be read is kept.

    Its process, the last to notice that it is to end, may be finishing after all: it is waited for.
    """
    directory.mkdir(parents=True, exist_ok=True)
    path, lock = directory / FILE_NAME, create_run_lock(directory)
    take(lock, PATIENCE_S)
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
    """How long a killed trial ran, since it was begun or continued [s]: until it last wrote something."""
    started_s = read_lives(trial)[-1].start.timestamp()
    files = [path for path in directory.rglob("*") if path.is_file() and path.name != FILE_NAME]  # may be written later
    written = [path.stat().st_mtime for path in files]
    return max(max(written, default=0.0) - started_s, 0.0)


def mask_numbers(cause: str) -> str:
    """A cause with ``#`` for every number: of trials that ended alike it is the same."""
    return NUMBER.sub("#", cause)
