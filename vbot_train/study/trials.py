"""A loaded study and its trials that have ended."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial

from vbot_train.study.attributes import ORIGIN, STATUS, WORKER
from vbot_train.study.lives import Life
from vbot_train.study.record import StudyRecord
from vbot_train.training.metrics import METRICS
from vbot_train.training.progress import PROGRESS_CSV
from vbot_train.training.result import STATUSES, TrialResult

NAMED = 5  # omitted trials that are listed one by one


@dataclass(frozen=True, slots=True)
class Trial:
    """A trial that has ended."""

    number: int
    params: dict[str, Any]
    distributions: dict[str, BaseDistribution]
    result: TrialResult
    directory: Path
    intermediate: dict[int, float]  # held-out value of the optimized metric, by number of the evaluation
    origin: str | None = None  # default, enqueued, history or proposed; in a later stage, the name of the stage
    ended: datetime | None = None  # UTC
    killed: bool = False  # given up because it was killed
    retry_of: int | None = None  # number of the trial that it repeats
    seeds: tuple[int, ...] = ()  # all seeds of its configuration, if there are several
    seed_runs: Mapping[Path, TrialResult] = field(default_factory=dict)  # by directory, if it represents several trials
    lives: tuple[Life, ...] = ()  # periods in which it ran, of all its seeds

    @property
    def hosts(self) -> set[str]:
        """The hosts on which it ran."""
        return {life.host for life in self.lives if life.host}

    @property
    def is_merged(self) -> bool:
        """Whether it represents several trials, all of which have ended for good; see ``study.seeds``."""
        return bool(self.seeds and self.seed_runs)

    @property
    def run_of_directory(self) -> dict[Path, TrialResult]:
        """The result of each training seed, by its directory."""
        return dict(self.seed_runs) or {self.directory: self.result}

    @property
    def runs(self) -> list[TrialResult]:
        """The result of each training seed."""
        return list(self.run_of_directory.values())

    @property
    def run_directories(self) -> dict[int, Path]:
        """The directory of each training seed."""
        return {run.seed: directory for directory, run in self.run_of_directory.items()}

    @property
    def progress_files(self) -> list[Path]:
        """The progress file of each training seed that has one."""
        return sorted(path for folder in self.run_of_directory if (path := folder / PROGRESS_CSV).exists())


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A trial that has ended but does not count."""

    stage: str  # folder of its stage
    number: int
    params: dict[str, Any]
    reason: str  # with the path of the unusable file


@dataclass(frozen=True, slots=True)
class Study:
    """A study loaded from its directory and database."""

    directory: Path
    record: StudyRecord
    trials: list[Trial]  # trials of the search that have ended, by number
    infeasible: dict[str, int]  # number of rejected proposals (of a grid: cells) by constraint
    confirm: list[Trial] = field(default_factory=list)  # finalists, trained again on new seeds; see analysis.verdict
    test: list[Trial] = field(default_factory=list)  # winner and default, on separate seeds and starts
    paused: list[Trial] = field(default_factory=list)  # trials of the search that wait at a rung; never ranked
    left_out: list[LeftOut] = field(default_factory=list)  # trials of all stages that do not count
    statuses: Mapping[str, int] | None = None  # of every trial, a seed each; None: those of ``trials``

    @property
    def counts(self) -> dict[str, int]:
        """Number of trials by status, including zeros."""
        counts = Counter(trial.result.status for trial in self.trials) if self.statuses is None else self.statuses
        return {status: counts.get(status, 0) for status in STATUSES}

    @property
    def pruned(self) -> list[Trial]:
        """The pruned trials."""
        return [trial for trial in self.trials if trial.result.status == "pruned"]

    @property
    def hosts(self) -> set[str]:
        """The hosts on which the trials of all stages ran that have ended."""
        return {host for trial in (*self.trials, *self.confirm, *self.test) for host in trial.hosts}

    def rank(self, metric: str) -> list[Trial]:
        """List the completed trials with a value of the metric, best first; ties are ordered by time to goal."""
        sign, rows = -METRICS[metric].sign, []
        for trial in self.trials:
            value, time_s = trial.result.get_objective(metric), trial.result.get_objective("time_to_goal_s")
            if value is not None:
                rows.append((sign * value, math.inf if time_s is None else time_s, trial.number, trial))
        return [trial for *_, trial in sorted(rows, key=lambda row: row[:3])]


def is_own(trial: FrozenTrial) -> bool:
    """Check whether a search, not a script, queued, runs or ended a trial."""
    signs = (STATUS,) if trial.state.is_finished() else (WORKER, ORIGIN)
    return any(sign in trial.user_attrs for sign in signs)


def tell_left_out(study: Study) -> Iterator[str]:
    """Yield lines of text on the trials that do not count, and why."""
    for trial in study.left_out[:NAMED]:
        yield f"left out: {trial.reason}"
    if (more := len(study.left_out) - NAMED) > 0:
        yield f"left out: {more} more"
