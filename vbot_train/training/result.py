"""The result of a run: one YAML file, written once."""

import itertools
import logging
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Self

import yaml

from vbot_train.training.files import FileError, read_whole_yaml, write_atomically

log = logging.getLogger(__name__)

FILE_NAME = "result.yaml"
SCHEMA_VERSION = 1
NUMBERS = ("metrics", "last_metrics", "reward_terms")  # keys whose values map names to numbers
STATUSES = ("completed", "paused", "pruned", "diverged", "timeout", "failed", "interrupted")  # pruned: older studies
RESUMABLE = ("paused", "interrupted")  # no result yet, but a state from which the training goes on


class ResultError(FileError):
    """A result file cannot be used; the message names the file."""


@dataclass(frozen=True, slots=True)
class TrialResult:
    """The outcome of one training run; ``null`` in the file is None here."""

    status: str  # one of STATUSES; only completed trials are ranked
    trial: int | None  # number in its study, None for a single run
    seed: int
    seeds: list[int] = field(default_factory=list)  # of the metrics; if several, each metric is their IQM
    metrics: dict[str, float | None] = field(default_factory=dict)  # best checkpoint, evaluated with evaluation.seed
    last_metrics: dict[str, float | None] = field(default_factory=dict)  # last checkpoint, on the first of these
    last_episodes: int | None = None  # how many; all of them if the last checkpoint is the best
    reward_terms: dict[str, float] = field(default_factory=dict)  # mean per episode, best checkpoint
    best_env_steps: int | None = None  # training env steps up to the best checkpoint
    applied: dict[str, Any] = field(default_factory=dict)  # read back from agent and environment
    env_steps: int = 0  # training only
    evaluation_env_steps: int = 0
    wall_time_s: float = 0.0
    unstable_robots: int = 0  # episodes ended by unstable physics, in training and in the final evaluations
    machines: list[dict[str, Any]] = field(default_factory=list)  # if it was continued under other circumstances: all
    cause: str | None = None  # reason of a failure, one line; the traceback is in error.txt
    schema_version: int | str = SCHEMA_VERSION  # load() refuses other major versions only, such as "2.1"
    unknown: dict[str, Any] = field(default_factory=dict)  # additional keys written by a newer version

    def get_objective(self, metric: str) -> float | None:
        """Return the value to optimize; None if there is none (the run failed, or the event never happened)."""
        value = self.metrics.get(metric)
        return value if self.status == "completed" and value is not None and math.isfinite(value) else None

    def save(self, run_dir: Path) -> Path:
        """Write ``result.yaml`` into ``run_dir`` atomically. Only the owner of the directory may call this.

        An existing file of that name is kept; the result is then written under the next free name, such as
        ``result_2.yaml``.

        Returns:
            Path of the file.
        """
        names = itertools.chain([FILE_NAME], (f"result_{n}.yaml" for n in itertools.count(2)))
        path = next(path for path in (run_dir / name for name in names) if not os.path.lexists(path))
        if path.name != FILE_NAME:
            log.warning("%s is in the way; the result of this run is in %s", run_dir / FILE_NAME, path)
        content = {"schema_version": self.schema_version, **asdict(self)}
        content |= content.pop("unknown")
        text = yaml.safe_dump(content, sort_keys=False)
        try:
            write_atomically(path, text)
        except KeyboardInterrupt:  # a signal arrived during the write: the result must still be saved
            if not path.exists():
                write_atomically(path, text)
            raise
        return path

    @classmethod
    def load(cls, run_dir: Path) -> Self:
        """Read a result that ``save`` wrote, in any minor version: missing fields get their defaults.

        Raises:
            ResultError: The file is missing, truncated, damaged or of another major schema version.
        """
        path = run_dir / FILE_NAME
        try:
            content = read_whole_yaml(path)
        except FileError as error:
            raise ResultError(str(error)) from error
        if str(content.get("schema_version", SCHEMA_VERSION)).partition(".")[0] != str(SCHEMA_VERSION):
            raise ResultError(f"{path} is not a result of schema version {SCHEMA_VERSION}")
        if (key := next(_find_spoilt_keys(content), None)) is not None:
            raise ResultError(f"{path} is damaged: {key}={content.get(key, 'missing')}")
        known = {f.name for f in fields(cls)} - {"unknown"}
        unknown = {key: value for key, value in content.items() if key not in known}
        return cls(**{key: value for key, value in content.items() if key in known}, unknown=unknown)


def _find_spoilt_keys(content: Mapping[str, Any]) -> Iterator[str]:
    """Yield the keys of a result that are required but missing, or whose values are invalid."""
    if content.get("status") not in STATUSES:
        yield "status"
    yield from (key for key in ("trial", "seed") if key not in content)
    kinds: dict[str, Any] = {"trial": int | None, "seeds": list, "wall_time_s": int | float, "applied": dict}
    kinds |= dict.fromkeys(("seed", "env_steps", "evaluation_env_steps", "unstable_robots"), int)
    kinds |= dict.fromkeys(NUMBERS, dict)
    yield from (key for key, kind in kinds.items() if key in content and not isinstance(content[key], kind))
    for key in NUMBERS:
        values = content[key].values() if isinstance(content.get(key), dict) else ()
        if not all(isinstance(value, int | float | None) for value in values):
            yield key


class TrialStopped(BaseException):
    """A running trial was asked to stop, by its search, its scheduler or its time limit."""

    def __init__(self, status: str, cause: str) -> None:
        super().__init__(cause)
        self.status = status
        self.cause = cause


def compute_iqm(values: Sequence[float]) -> float:
    """Compute the interquartile mean: drop a quarter of the values (rounded down) at each end, average the rest."""
    cut = len(values) // 4
    middle = sorted(values)[cut : len(values) - cut]
    return round(math.fsum(middle) / len(middle), 6)
