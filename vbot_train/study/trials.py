"""The trials of a study that have ended."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from vbot_train.study.record import StudyRecord
from vbot_train.training.result import METRICS, STATUSES, TrialResult

NAMED = 5  # trials that are left out and told one by one


@dataclass(frozen=True, slots=True)
class Trial:
    """One trial that has ended."""

    number: int
    params: dict[str, Any]
    distributions: dict[str, BaseDistribution]
    result: TrialResult
    directory: Path
    intermediate: dict[int, float]  # held-out value of what the study optimizes, by number of the evaluation
    origin: str | None = None  # why it was tried: default, enqueued, history, proposed; of a later stage, its name
    ended: datetime | None = None  # UTC
    killed: bool = False  # given up because it was killed; in older studies: interrupted, and not by its search
    retry_of: int | None = None  # number of the trial that it repeats
    seeds: tuple[int, ...] = ()  # of its configuration, where they are several
    seed_runs: Mapping[Path, TrialResult] = field(default_factory=dict)  # by directory, where it stands for several

    @property
    def is_merged(self) -> bool:
        """Whether it stands for several trials, all of which have ended for good; see ``study.seeds``."""
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
        """The curve of each training seed; none of a trial that never trained."""
        return sorted(path for folder in self.run_of_directory if (path := folder / "progress.csv").exists())


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A trial that has ended and does not count."""

    stage: str  # folder of the trials that it is of
    number: int
    params: dict[str, Any]
    reason: str  # with the path of what cannot be used


@dataclass(frozen=True, slots=True)
class Study:
    """A study, as its directory holds it."""

    directory: Path
    record: StudyRecord
    trials: list[Trial]  # that have ended, by number
    infeasible: dict[str, int]  # rejected proposals (of a grid: cells) by rule
    confirm: list[Trial] = field(default_factory=list)  # the finalists again, on fresh seeds; see analysis.stages
    test: list[Trial] = field(default_factory=list)  # the winner and the default, on seeds and starts of their own
    left_out: list[LeftOut] = field(default_factory=list)  # of all stages
    interrupted: int = 0  # trials of the search that wait to be continued

    @property
    def counts(self) -> dict[str, int]:
        """Trials by status, zeros included."""
        counts = Counter(trial.result.status for trial in self.trials)
        counts["interrupted"] += self.interrupted
        return {status: counts[status] for status in STATUSES}

    @property
    def pruned(self) -> list[Trial]:
        """The trials that the pruner ended."""
        return [trial for trial in self.trials if trial.result.status == "pruned"]

    def ranked(self, metric: str) -> list[Trial]:
        """The completed trials that have a value of the metric, best first; of equals, the faster to the goal."""
        sign = -1 if METRICS[metric] == "maximize" else 1
        rows = []
        for trial in self.trials:
            value, time_s = trial.result.objective(metric), trial.result.objective("time_to_goal_s")
            if value is not None:
                rows.append((sign * value, math.inf if time_s is None else time_s, trial.number, trial))
        return [trial for *_, trial in sorted(rows, key=lambda row: row[:3])]


def is_own(trial: FrozenTrial) -> bool:
    """Whether a trial is a search's; else a script added it, or told its end. What waits, a search will train."""
    signs = ("status",) if trial.state.is_finished() else ("worker", "loop", "origin")  # the second in older studies
    return trial.state == TrialState.WAITING or any(sign in trial.user_attrs for sign in signs)


def tell_left_out(study: Study) -> Iterator[str]:
    """The trials that do not count, and why, for people."""
    for trial in study.left_out[:NAMED]:
        yield f"left out: {trial.reason}"
    if (more := len(study.left_out) - NAMED) > 0:
        yield f"left out: {more} more"
