"""Locks of the operating system on files: let go of when their holder dies, however it dies."""

import errno
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from vbot_train.config.composition import ConfigError

NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK)  # what a file system without locks answers


def create_file_lock(path: Path, *, shared: bool = False) -> BaseFileLock:
    """A lock on a file, not yet taken. It may be nested.

    Args:
        path: The file, which is created when the lock is taken. It stays, but on Windows filelock removes it again.
        shared: Whether all who ask for it in this process are one holder.
    """
    # A soft lock, to which filelock would turn on such a file system, outlives its holder.
    return FileLock(path, fallback_to_soft=False, is_singleton=shared)


def take(lock: BaseFileLock, timeout_s: float) -> None:
    """Take a lock.

    Raises:
        Timeout: Somebody else holds it.
        ConfigError: The file system has no locks.
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
