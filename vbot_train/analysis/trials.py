"""Load a study: its record, its trials, their results."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, RDBStorage
from sqlalchemy.exc import SQLAlchemyError
from yaml import YAMLError

from vbot_train.analysis.steps import exact_params
from vbot_train.lives import ended_at
from vbot_train.result import METRICS, STATUSES, TrialResult, read_yaml
from vbot_train.storage_url import sqlite_file, url_of_file

TRIALS, STAGES = "trials", ("confirm", "test")  # folders of a study's trials, and of what is trained after them
KILLS = 1  # a trial that was killed is trained again so often: it may be what fills the memory
HIDDEN = "***"  # stands for a password in a study's record
STORAGE_ERRORS = (SQLAlchemyError, StorageInternalError)
# What reading a study may raise: beside a database's errors, a driver that is missing, another version's tables, files
# that hold something else.
READ_ERRORS = (
    *(*STORAGE_ERRORS, YAMLError, ImportError, RuntimeError, OSError),
    *(TypeError, KeyError, AttributeError, UnicodeDecodeError),
)


class StudyError(ValueError):
    """A directory that is not that of a study, or a metric that it does not have."""


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
    killed: bool = False  # interrupted, and not by its search

    @property
    def runs(self) -> list[TrialResult]:
        """The result of each training seed."""
        if len(self.result.seeds) < 2:
            return [self.result]
        return [TrialResult.load(self.directory / f"seed_{seed}") for seed in self.result.seeds]

    @property
    def progress_files(self) -> list[Path]:
        """The curve of each training seed; none of a trial that never trained."""
        return sorted([*self.directory.glob("progress.csv"), *self.directory.glob("seed_*/progress.csv")])


@dataclass(frozen=True, slots=True)
class Study:
    """A study, as its directory holds it."""

    directory: Path
    record: Mapping[str, Any]  # study.yaml
    trials: list[Trial]  # that have ended, by number
    infeasible: dict[str, int]  # rejected proposals (of a grid: cells) by rule
    confirm: list[Trial] = field(default_factory=list)  # the finalists again, on fresh seeds; see analysis.stages
    test: list[Trial] = field(default_factory=list)  # the winner and the default, on seeds and starts of their own

    @property
    def counts(self) -> dict[str, int]:
        """Trials by status, zeros included."""
        counts = Counter(trial.result.status for trial in self.trials)
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


def load_study(directory: Path, storage: str | None = None) -> Study:
    """Load a study.

    Args:
        directory: Its directory.
        storage: Where it lives, with the password, if its record leaves one out; else it lives where the record says.

    Raises:
        StudyError: The directory is not that of a study.
        ResultError: A trial's result cannot be read.
    """
    record = directory / "study.yaml"
    if not record.is_file():
        raise StudyError(f"{directory}: not the directory of a study (there is no study.yaml)")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        content = read_yaml(record)
        if content["metric"] not in METRICS:
            raise StudyError(f"{record}: metric={content['metric']}: choose one of {', '.join(METRICS)}")
        url = content.get("storage") or url_of_file(directory / "study.db")
        if HIDDEN in url and storage is not None:
            url = storage
        if HIDDEN in url:
            raise StudyError(f"{directory}: lives in {url}; its storage must be given with the password")
        storage_there = _open(url, directory)
        study = optuna.load_study(study_name=content["study"], storage=storage_there)
        ended = {TRIALS: _ended(study)} | {
            stage: _ended(optuna.load_study(study_name=name, storage=storage_there))
            for stage in STAGES
            if (name := stage_name(content["study"], stage)) in optuna.get_all_study_names(storage_there)
        }
        infeasible = study.user_attrs.get("infeasible", {})
    except READ_ERRORS as error:
        raise StudyError(f"{directory}: its study cannot be read ({what_a_database_says(error)})") from error
    loaded = {stage: [_load_trial(trial, directory / stage) for trial in trials] for stage, trials in ended.items()}
    return Study(directory, content, loaded.pop(TRIALS), infeasible, **loaded)


def stage_name(study: str, stage: str) -> str:
    """Name, in the storage, of the study that holds a later stage's trainings; no user's study can have it."""
    return f"{study}/{stage}"


def _ended(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    return [trial for trial in study.get_trials(deepcopy=False) if trial.state.is_finished()]


def _open(url: str, directory: Path) -> BaseStorage:
    """A database that is there; nothing is created in one that is not, or is empty."""
    file = sqlite_file(url)
    if file is not None and not file.is_file():  # SQLite would create it
        raise StudyError(f"{directory}: its study cannot be read ({file} is missing)")
    return optuna.storages.get_storage(RDBStorage(url, skip_table_creation=True))


def what_a_database_says(error: Exception) -> str:
    """The first line of what lies behind an error of the storage."""
    origin = getattr(error.__cause__ or error, "orig", None) or error.__cause__ or error
    return (str(origin).splitlines() or [type(error).__name__])[0]


def _load_trial(trial: optuna.trial.FrozenTrial, folder: Path) -> Trial:
    path = folder / f"{trial.number:03d}"
    return Trial(
        number=trial.number,
        params=exact_params(trial.params, trial.distributions),
        distributions=trial.distributions,
        result=TrialResult.load(path),
        directory=path,
        intermediate=trial.intermediate_values,
        origin=trial.user_attrs.get("origin"),
        ended=ended_at(trial),
        killed=trial.user_attrs.get("killed", False),
    )
