"""The directory of one training run. The process that holds its lock owns it; no other process changes it."""

import os
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import BaseFileLock, Timeout

from vbot_train.config.composition import ConfigError
from vbot_train.training.files import write_atomically
from vbot_train.training.locks import create_file_lock, take
from vbot_train.training.result import FILE_NAME, TrialResult, TrialStopped

LOCK = "run.lock"
CHECKPOINTS = "checkpoints"
STATE = "state.pt"


class StateError(ConfigError):
    """A training run cannot be resumed from its files. The files are unchanged."""


def create_run_lock(run_dir: Path) -> BaseFileLock:
    """Create the lock of a directory without acquiring it. It is reentrant within this process."""
    return create_file_lock(run_dir / LOCK, shared=True)


def state_path(run_dir: Path) -> Path:
    """Return the path of the file that an interrupted training run resumes from."""
    return run_dir / CHECKPOINTS / STATE


def take_run_directory(run_dir: Path, timeout_s: float = 0.0) -> BaseFileLock:
    """Acquire the lock of a directory and return it; the caller owns the directory while it holds the lock.

    The directory must be unused (it is created if missing) or hold a training run that can be resumed.

    Args:
        run_dir: The directory.
        timeout_s: How long to wait for another process that owns it [s].

    Raises:
        ConfigError: Another process owns it, it holds a finished run, it is not writable, or its file system does not
            support locks.
    """
    lock = create_run_lock(run_dir)
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        take(lock, timeout_s)
    except Timeout:
        raise ConfigError(f"hydra.run.dir={run_dir}: another run trains there; give another") from None
    except OSError as error:
        raise ConfigError(f"hydra.run.dir={run_dir}: cannot be written ({error.strerror}); give another") from error
    if (fault := _find_fault(run_dir)) is not None:
        lock.release()
        raise ConfigError(f"hydra.run.dir={run_dir}: {fault}; give another")
    return lock


def _find_fault(run_dir: Path) -> str | None:
    """Return why no training can start or resume in a directory, None if it can."""
    if (run_dir / FILE_NAME).exists():
        return f"already holds the {FILE_NAME} of a finished run"
    checkpoints = run_dir / CHECKPOINTS
    # A run that was killed before its first state leaves an empty folder, or a partial state under a temporary name.
    if not state_path(run_dir).exists() and any(not path.name.startswith(".") for path in checkpoints.glob("*")):
        return f"already holds {CHECKPOINTS} of another run"
    folders = [folder for folder in (run_dir, checkpoints) if folder.exists()]
    return None if all(os.access(folder, os.W_OK | os.X_OK) for folder in folders) else "cannot be written"


@contextmanager
def own_run_directory(run_dir: Path, timeout_s: float = 0.0) -> Iterator[None]:
    """Own a directory within the ``with`` block; see ``take_run_directory``."""
    lock = take_run_directory(run_dir, timeout_s)
    try:
        yield
    finally:
        lock.release()


def record_early_end(run_dir: Path, status: str, error: BaseException, *, trial: int | None, seed: int) -> None:
    """Record the result of a run that ended before training started; do nothing if the run recorded one itself.

    Args:
        run_dir: The run's directory, which the caller owns.
        status: Status of the result.
        error: The exception that ended the run.
        trial: Number of the trial in its study.
        seed: Training seed.
    """
    if (run_dir / FILE_NAME).exists():
        return
    write_traceback(run_dir, error)
    TrialResult(status=status, trial=trial, seed=seed, seeds=[seed], cause=describe_cause(error)).save(run_dir)


def write_traceback(run_dir: Path, error: BaseException) -> None:
    """Write the traceback of the exception that ended a run to ``error.txt``."""
    write_atomically(run_dir / "error.txt", "".join(traceback.format_exception(error)))


def describe_cause(error: BaseException) -> str:
    """Describe in one line the exception that ended a run."""
    asked = isinstance(error, KeyboardInterrupt | TrialStopped)
    return str(error) if asked else f"{type(error).__name__}: {error}".splitlines()[0]


def has_owner(run_dir: Path) -> bool:
    """Check whether a running process owns a directory."""
    if not (run_dir / LOCK).exists():
        return False
    lock = create_file_lock(run_dir / LOCK)
    try:
        take(lock, 0)
    except Timeout:
        return True
    lock.release()
    return False
