"""File locks of the operating system, which are released when the process that holds them ends for any reason."""

import errno
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from vbot_train.config.composition import ConfigError

NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK)  # errors of a file system without locks


def create_file_lock(path: Path, *, shared: bool = False) -> BaseFileLock:
    """Create a lock on a file without acquiring it. The lock is reentrant.

    Args:
        path: The lock file, created when the lock is acquired. It is kept, except that filelock removes it on Windows.
        shared: Return the same lock object to every caller in this process.
    """
    # On a file system without locks, filelock would fall back to a soft lock, which outlives the process.
    return FileLock(path, fallback_to_soft=False, is_singleton=shared)


def take(lock: BaseFileLock, timeout_s: float) -> None:
    """Acquire a lock.

    Raises:
        Timeout: It is held elsewhere.
        ConfigError: The file system does not support locks.
    """
    try:
        lock.acquire(timeout=timeout_s)
    except Timeout:
        raise
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        folder = Path(lock.lock_file).parent
        raise ConfigError(
            f"{folder}: its file system has no locks ({error.strerror}); choose a directory on another"
        ) from error
