"""What a run hands over: one file, written once."""

import itertools
import logging
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Self

import yaml

from vbot_train.training.files import FileError, read_whole_yaml
from vbot_train.training.files import (
    write_atomically as write_atomically,  # train.py and single.py still import it from here
)

log = logging.getLogger(__name__)

FILE_NAME = "result.yaml"
SCHEMA_VERSION = 1
NUMBERS = ("metrics", "last_metrics", "reward_terms")  # keys of a result that hold numbers by name
STATUSES = ("completed", "pruned", "diverged", "timeout", "failed", "interrupted")

# What a search may optimize, and which way is better.
METRICS: dict[str, str] = {
    "episode_reward_mean": "maximize",
    "success_rate": "maximize",
    "fall_rate": "minimize",
    "out_of_bounds_rate": "minimize",
    "time_to_goal_s": "minimize",
    "final_distance_m": "minimize",
    "episode_length_mean": "maximize",
    "env_steps_to_success": "minimize",
    "stage1_points": "maximize",
}


class ResultError(FileError):
    """A result file that cannot be used; the message names the file."""


@dataclass(frozen=True, slots=True)
class TrialResult:
    """The outcome of one training run; ``null`` in the file is None here."""

    status: str  # one of STATUSES; only completed trials are ranked
    trial: int | None  # number in its study, None for a single run
    seed: int
    seeds: list[int] = field(default_factory=list)  # behind the metrics; several: each metric's interquartile mean
    metrics: dict[str, float | None] = field(default_factory=dict)  # best checkpoint, on evaluation.seed
    last_metrics: dict[str, float | None] = field(default_factory=dict)  # last checkpoint, the same way
    reward_terms: dict[str, float] = field(default_factory=dict)  # mean per episode, best checkpoint
    best_env_steps: int | None = None  # training steps behind the best checkpoint
    applied: dict[str, Any] = field(default_factory=dict)  # read back from agent and environment
    env_steps: int = 0  # of training
    evaluation_env_steps: int = 0
    wall_time_s: float = 0.0
    unstable_robots: int = 0  # episodes ended by unstable physics, in training and in the final evaluations
    cause: str | None = None  # of a failure, one line; the traceback is in error.txt
    schema_version: int | str = SCHEMA_VERSION  # of which only another major number is refused, as in "2.1"
    unknown: dict[str, Any] = field(default_factory=dict)  # what a newer version wrote beside all that

    def objective(self, metric: str) -> float | None:
        """The value to optimize; None where the run has none (it failed, or the event never happened)."""
        value = self.metrics.get(metric)
        return value if self.status == "completed" and value is not None and math.isfinite(value) else None

    def save(self, run_dir: Path) -> Path:
        """Write ``result.yaml`` into ``run_dir``, whole or not at all. Only the directory's owner may do so.

        Whatever has that name already stays, and costs no result: this one gets the next free name beside it.

        Returns:
            The file.
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
        except (KeyboardInterrupt, TrialStopped):  # a signal came just now: the run has its result all the same
            if not path.exists():
                write_atomically(path, text)
            raise
        return path

    @classmethod
    def load(cls, run_dir: Path) -> Self:
        """Read back what ``save`` wrote, in whatever version: fields that are missing have their defaults.

        Raises:
            ResultError: The file is missing, cut short, damaged or of another major schema.
        """
        path = run_dir / FILE_NAME
        try:
            content = read_whole_yaml(path)
        except FileError as error:
            raise ResultError(str(error)) from error
        if str(content.get("schema_version", SCHEMA_VERSION)).partition(".")[0] != str(SCHEMA_VERSION):
            raise ResultError(f"{path} is not a result of schema version {SCHEMA_VERSION}")
        if (key := next(_spoilt_keys(content), None)) is not None:
            raise ResultError(f"{path} is damaged: {key}={content.get(key, 'missing')}")
        known = {f.name for f in fields(cls)} - {"unknown"}
        unknown = {key: value for key, value in content.items() if key not in known}
        return cls(**{key: value for key, value in content.items() if key in known}, unknown=unknown)


def _spoilt_keys(content: Mapping[str, Any]) -> Iterator[str]:
    """The keys of a result that must be there and are not, or whose values cannot be."""
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
    """A running trial was told to end: by its search, its pruner or its time limit."""

    def __init__(self, status: str, cause: str) -> None:
        super().__init__(cause)
        self.status = status
        self.cause = cause


def compute_iqm(values: Sequence[float]) -> float:
    """Interquartile mean: the mean of the middle half, a quarter (rounded down) cut off at each end."""
    cut = len(values) // 4
    middle = sorted(values)[cut : len(values) - cut]
    return round(math.fsum(middle) / len(middle), 6)
