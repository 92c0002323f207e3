"""The directory of one training run: whoever holds its lock owns it, and nobody else changes anything in it."""

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
    """A training that cannot be continued as it stands on the disk. Nothing there was changed."""


def create_run_lock(run_dir: Path) -> BaseFileLock:
    """The lock of a directory, not yet taken. Whoever holds it in this process may take it once more."""
    return create_file_lock(run_dir / LOCK, shared=True)


def state_path(run_dir: Path) -> Path:
    """The file that a training goes on from, should it be stopped."""
    return run_dir / CHECKPOINTS / STATE


def take_run_directory(run_dir: Path) -> BaseFileLock:
    """Become the owner of a directory for as long as the lock is kept: one that is unused, and is created if need be,
    or one whose training can be continued.

    Raises:
        ConfigError: Another process owns it, it holds a run that has ended, it cannot be written, or its file system
            has no locks.
    """
    lock = create_run_lock(run_dir)
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        take(lock, 0)
    except Timeout:
        raise ConfigError(f"hydra.run.dir={run_dir}: another run trains there; give another") from None
    except OSError as error:
        raise ConfigError(f"hydra.run.dir={run_dir}: cannot be written ({error.strerror}); give another") from error
    if (fault := _fault(run_dir)) is not None:
        lock.release()
        raise ConfigError(f"hydra.run.dir={run_dir}: {fault}; give another")
    return lock


def _fault(run_dir: Path) -> str | None:
    """Why no training can begin or go on in a directory."""
    if (run_dir / FILE_NAME).exists():
        return f"already holds {FILE_NAME} of another run"
    checkpoints = run_dir / CHECKPOINTS
    # A training that was killed before its first state leaves an empty folder, or half a state under another name.
    if not state_path(run_dir).exists() and any(not path.name.startswith(".") for path in checkpoints.glob("*")):
        return f"already holds {CHECKPOINTS} of another run"
    folders = [folder for folder in (run_dir, checkpoints) if folder.exists()]
    return None if all(os.access(folder, os.W_OK | os.X_OK) for folder in folders) else "cannot be written"


@contextmanager
def own_run_directory(run_dir: Path) -> Iterator[None]:
    """Own a directory while a training runs; as ``take_run_directory``."""
    lock = take_run_directory(run_dir)
    try:
        yield
    finally:
        lock.release()


def record_early_end(run_dir: Path, status: str, error: BaseException, *, trial: int | None, seed: int) -> None:
    """Write down how and where a run ended that had not begun to train; one that had has done so itself.

    Args:
        run_dir: Its directory, which the caller owns.
        status: Of the result.
        error: What ended it.
        trial: Number in its study.
        seed: Training seed.
    """
    if (run_dir / FILE_NAME).exists():
        return
    write_atomically(run_dir / "error.txt", "".join(traceback.format_exception(error)))
    TrialResult(status=status, trial=trial, seed=seed, seeds=[seed], cause=describe_cause(error)).save(run_dir)


def describe_cause(error: BaseException) -> str:
    """What ended a run, in a line."""
    asked = isinstance(error, KeyboardInterrupt | TrialStopped)
    return str(error) if asked else f"{type(error).__name__}: {error}".splitlines()[0]


def has_owner(run_dir: Path) -> bool:
    """Whether a process that lives owns a directory."""
    if not (run_dir / LOCK).exists():
        return False
    lock = create_file_lock(run_dir / LOCK)
    try:
        take(lock, 0)
    except Timeout:
        return True
    lock.release()
    return False
