"""The workers of a study: which are alive, and mutual exclusion among them.

Each worker holds a file lock for as long as it lives. The operating system releases it when the worker dies, so the
others see that at once: there is no heartbeat, no grace period and no stale process number.
"""

import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from filelock import Timeout

from vbot_train.study.layout import WORKERS
from vbot_train.training.locks import create_file_lock, take

LOCK_TIMEOUT_S = 120.0  # a worker holds the study's lock for well below a second


class WorkerLock:
    """The locks of one worker: its own, and the one that all workers of the study share.

    Args:
        directory: The study's directory, on a file system with locks that all workers share. It is created.
    """

    def __init__(self, directory: Path) -> None:
        self._folder = directory / WORKERS
        self._folder.mkdir(parents=True, exist_ok=True)
        self._host = socket.gethostname()
        self.name = f"{self._host}-{os.getpid()}-{secrets.token_hex(3)}"
        self._own = create_file_lock(self._locate_file(self.name))
        self._study = create_file_lock(self._folder / "study.lock")

    def __enter__(self) -> Self:
        with self.hold():
            take(self._own, 0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()

    def leave(self) -> list[str]:
        """Release the worker's own lock. Returns the workers that remain: exactly one of several is the last."""
        with self.hold():
            self._own.release()
            self._remove(self.name)
            return self.list_others()

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Exclude the other workers within this context. May be nested."""
        take(self._study, LOCK_TIMEOUT_S)
        try:
            yield
        finally:
            self._study.release()

    def is_alive(self, name: str | None) -> bool:
        """Check whether a worker lives. Call it only within ``hold``."""
        if name == self.name:
            return True
        if name is None or not (path := self._locate_file(name)).exists():
            return False
        try:
            create_file_lock(path).acquire(timeout=0).lock.release()  # first: Windows removes no file that is open
        except Timeout:
            return True
        self._remove(name)
        return False

    def list_others(self) -> list[str]:
        """Return the names of the other living workers. Call it only within ``hold``."""
        names = {path.stem for path in self._folder.glob("*.lock")} - {"study", self.name}
        return sorted(name for name in names if self.is_alive(name))

    def shares_host(self) -> bool:
        """Check whether another worker lives on this machine. Call it only within ``hold``."""
        return self._host in map(parse_host, self.list_others())

    def _remove(self, name: str) -> None:
        """Remove the lock file of a dead worker. A file that is held open (Windows) stays for the next attempt."""
        with suppress(PermissionError):
            self._locate_file(name).unlink(missing_ok=True)

    def _locate_file(self, name: str) -> Path:
        return self._folder / f"{name}.lock"


def parse_host(name: str) -> str:
    """Return the host in a worker's name. The host may contain dashes, the two parts after it do not."""
    return name.rsplit("-", 2)[0]
