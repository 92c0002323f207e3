"""Which workers work on a study, and one lock among them.

A worker holds a lock on a file of its own for as long as it lives. The system lets go of it when the worker dies,
however it dies, so the others see that at once: no heartbeat, no grace period, no stale process number.
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

PATIENCE_S = 120.0  # a worker holds the study's lock for well below a second


class WorkerLock:
    """One worker's presence at a study.

    Args:
        directory: The study's directory, on a file system with locks that all workers share. It is created.
    """

    def __init__(self, directory: Path) -> None:
        self._folder = directory / WORKERS
        self._folder.mkdir(parents=True, exist_ok=True)
        self._host = socket.gethostname()
        self.name = f"{self._host}-{os.getpid()}-{secrets.token_hex(3)}"
        self._own = create_file_lock(self._file(self.name))
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
        """Be gone. Returns the workers that remain: of several that leave, exactly one is the last."""
        with self.hold():
            self._own.release()
            self._remove(self.name)
            return self.others()

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Keep the other workers from reading or changing what is read and changed within. May be nested."""
        take(self._study, PATIENCE_S)
        try:
            yield
        finally:
            self._study.release()

    def is_alive(self, name: str | None) -> bool:
        """Whether a worker lives. Only within ``lock``."""
        if name is None:
            return False
        if name == self.name:
            return True
        path = self._file(name)
        if not path.exists():
            return False
        try:
            create_file_lock(path).acquire(timeout=0).lock.release()  # first: Windows removes no file that is open
        except Timeout:
            return True
        self._remove(name)
        return False

    def others(self) -> list[str]:
        """Names of the other workers that live. Only within ``lock``."""
        names = {path.stem for path in self._folder.glob("*.lock")} - {"study", self.name}
        return sorted(name for name in names if self.is_alive(name))

    def shares_host(self) -> bool:
        """Whether another worker lives on this machine. Only within ``lock``."""
        return self._host in map(parse_host, self.others())

    def _remove(self, name: str) -> None:
        """Remove the file of a worker that is gone; one that is held open (Windows) is left to the next worker."""
        with suppress(PermissionError):
            self._file(name).unlink(missing_ok=True)

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}.lock"


def parse_host(name: str) -> str:
    """The machine on which a worker of this name runs; what follows it has no dash, but a machine's name may."""
    return name.rsplit("-", 2)[0]
