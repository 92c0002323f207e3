"""What is said of a trial that has ended: its own result, or how it ended where it left none."""

from pathlib import Path

from optuna.trial import FrozenTrial

from vbot_train.lives import lives_of
from vbot_train.result import FILE_NAME, ResultError, TrialResult

KILLED_CAUSE = "its search was killed"
LOG = "train.log"  # what a trial's process prints; there from its start


def settle(directory: Path, status: str, cause: str, *, trial: int, seed: int, wall_time_s: float) -> TrialResult:
    """The result that a trial left; where it left none, one that says how it ended. What cannot be read is kept."""
    path = directory / FILE_NAME
    has_written = path.exists()  # asked first: what appears meanwhile is whole
    try:
        return TrialResult.load(directory)
    except ResultError:
        if has_written:
            path.rename(path.with_suffix(".broken"))
    directory.mkdir(parents=True, exist_ok=True)
    result = TrialResult(
        status=status, trial=trial, seed=seed, seeds=[seed], wall_time_s=round(wall_time_s, 3), cause=cause
    )
    try:
        result.save(directory)
    except FileExistsError:  # its process, the last to notice, has just finished after all
        return TrialResult.load(directory)
    return result


def lived_s(trial: FrozenTrial, directory: Path) -> float:
    """How long a killed trial ran, since it was begun or continued [s]: until it last wrote something."""
    started_s = lives_of(trial)[-1].start.timestamp()
    files = [path for path in directory.rglob("*") if path.is_file() and path.name != FILE_NAME]  # may be written later
    written = [path.stat().st_mtime for path in files]
    return max(max(written, default=0.0) - started_s, 0.0)
