"""What a study is doing at this moment: read from its database, and from what its running trials write.

Nothing is written, and no lock of a search is taken: it does not notice that it is watched.
"""

import csv
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from vbot_train.analysis.stages import Verdict
from vbot_train.study.accounting import TrialCounts, read_params
from vbot_train.study.errors import StudyError
from vbot_train.study.layout import STAGES, STUDY_YAML, TRIALS, name_stage
from vbot_train.study.lives import compute_runtime_s, find_end, read_lives
from vbot_train.study.loading import build_study
from vbot_train.study.record import StudyRecord
from vbot_train.study.storage import READ_ERRORS, extract_database_message, open_to_read, quiet_optuna
from vbot_train.study.storage_url import HIDDEN
from vbot_train.study.timing import HOUR_S, compute_spent_s
from vbot_train.study.trials import is_own
from vbot_train.training.progress import PROGRESS_CSV, read_whole_rows

PAUSE_S = 10.0  # a search that lives begins its next trial well within
SILENT_S = 120.0  # a trial that lives writes a row per update, and pauses for its last evaluation only


@dataclass(frozen=True, slots=True)
class Training:
    """A trial that runs, as far as its study knows."""

    number: int
    params: Mapping[str, Any]
    age_s: float  # since its start, pauses left out
    silent_s: float  # since it last wrote something
    total_env_steps: int  # of its training, over its seeds
    env_steps: int = 0  # of them, done
    env_steps_per_s: float | None = None  # in the last update
    value: float | None = None  # last held-out value of what the study optimizes
    success_rate: float | None = None  # in the same evaluation, in [0, 1]

    @property
    def share(self) -> float:
        """How much of the training is done, in [0, 1]."""
        return min(self.env_steps / self.total_env_steps, 1.0)

    @property
    def is_silent(self) -> bool:
        """Whether it has written nothing for so long that it does not run any more, or hangs."""
        return self.silent_s > SILENT_S


@dataclass(frozen=True, slots=True)
class Stage:
    """The search itself, or what it trains afterwards: its finalists again, and the winner beside the default."""

    name: str  # of the folder of its trials
    trials: Sequence[FrozenTrial]
    counts: TrialCounts
    total: int  # trials at which it ends
    running: list[Training]

    @property
    def ended(self) -> int:
        """Trials that have ended for good."""
        return self.counts.started - len(self.running)

    @property
    def alive(self) -> list[Training]:
        """The running trials that are not silent."""
        return [training for training in self.running if not training.is_silent]

    @property
    def silent(self) -> set[int]:
        """Numbers of the others."""
        return {training.number for training in self.running if training.is_silent}


@dataclass(frozen=True, slots=True)
class Progress:
    """A study at one moment."""

    record: StudyRecord
    stages: list[Stage]  # the search, then those that follow it
    now: datetime  # UTC
    verdict: Verdict  # on the trials that have ended

    @property
    def search(self) -> Stage:
        """The first stage."""
        return self.stages[0]

    @property
    def trials(self) -> list[FrozenTrial]:
        """Of all stages."""
        return [trial for stage in self.stages for trial in stage.trials]

    @property
    def running(self) -> list[Training]:
        """Of all stages, also those that are silent."""
        return [training for stage in self.stages for training in stage.running]

    @property
    def is_over(self) -> bool:
        """Whether every stage has all its trials."""
        return all(stage.ended >= stage.total for stage in self.stages)

    @property
    def idle_s(self) -> float | None:
        """Since the last trial ended [s], None before the first."""
        ends = [end for trial in self.trials if (end := find_end(trial)) is not None]
        return max((self.now - max(ends)).total_seconds(), 0.0) if ends else None

    @property
    def is_alive(self) -> bool:
        """Whether a trial runs, or ended so lately that the next one is on its way."""
        is_between = not self.running and self.idle_s is not None and self.idle_s < PAUSE_S
        return not self.is_over and (is_between or any(stage.alive for stage in self.stages))

    @property
    def left_s(self) -> float | None:
        """What is left of the budget [s], None without one. A search that is silent does not spend it."""
        hours = self.record.budget_hours
        if hours is None:
            return None
        silence = [training.silent_s for training in self.running if training.is_silent]
        quiet_s = min(silence) if len(silence) == len(self.running) and silence else 0.0
        return max(float(hours) * HOUR_S - compute_spent_s(self.trials, self.now) + quiet_s, 0.0)


class Observer:
    """Looks at a study, again and again.

    Args:
        directory: The study's directory.
        storage: Where it lives, with the password, if its record leaves one out.
    """

    def __init__(self, directory: Path, storage: str | None = None) -> None:
        self.directory = directory
        self._storage = storage
        self._opened: dict[str | None, BaseStorage] = {}  # kept: it remembers the trials that have ended
        quiet_optuna()

    def look(self) -> Progress:
        """What the study is doing now.

        Raises:
            StudyError: The directory is not that of a study, or cannot be read now; another time it may.
            ConfigError: ``study.yaml`` cannot be read.
        """
        record = StudyRecord.read(self.directory)
        if record is None:
            raise StudyError(f"{self.directory}: not the directory of a study (there is no {STUDY_YAML})")
        try:
            now = datetime.now(UTC)
            return self._look(record, now)
        except StudyError:
            raise
        except (*READ_ERRORS, ValueError) as error:  # the last of a file that a power cut left in pieces
            raise StudyError(f"{self.directory}: cannot be read ({extract_database_message(error)})") from error

    def _look(self, record: StudyRecord, now: datetime) -> Progress:
        """The search, and those later stages that are planned or begun."""
        database, name = self._database(record), record.study
        known = set(optuna.get_all_study_names(database))
        names = {TRIALS: name} | {stage: later for stage in STAGES if (later := name_stage(name, stage)) in known}
        studies = {stage: optuna.load_study(study_name=each, storage=database) for stage, each in names.items()}
        trials = {stage: study.get_trials(deepcopy=False) for stage, study in studies.items()}
        verdict = Verdict(build_study(self.directory, record, trials), record.metric)
        search = self._stage(TRIALS, trials[TRIALS], record, now)
        possible = len(verdict.screened) + max(search.total - search.ended, 0) // record.seeds_per_configuration
        stages = [search]
        for stage in STAGES:
            if stage in trials:
                stages.append(self._stage(stage, trials[stage], record, now))
            elif total := count_planned(stage, record, possible):
                stages.append(Stage(stage, [], TrialCounts([], retries=0), total, []))
        return Progress(record, stages, now, verdict)

    def _stage(self, name: str, found: Sequence[FrozenTrial], record: StudyRecord, now: datetime) -> Stage:
        trials = [trial for trial in found if is_own(trial)]
        counts = TrialCounts(trials, record.retries)
        folder = self.directory / name
        running = [
            read_training(
                trial, folder / f"{trial.number:03d}", record.config["training"]["env_steps"], record.metric, now
            )
            for trial in trials
            if trial.state == TrialState.RUNNING
        ]
        own = record.max_trials * record.seeds_per_configuration
        total = own if name == TRIALS else counts.promised  # a later stage queues all it has at once
        return Stage(name, trials, counts, total, running)

    def _database(self, record: StudyRecord) -> BaseStorage:
        home = record.home(self._storage)
        if home is not None and HIDDEN in home:
            raise StudyError(f"{self.directory}: lives in {home}; --storage must give it with the password")
        if home not in self._opened:
            self._opened[home] = open_to_read(home, self.directory)
        return self._opened[home]


def count_planned(stage: str, record: StudyRecord, possible: int) -> int:
    """How many trainings a stage will have that has not begun, at most; 0 if it is off.

    Args:
        stage: ``confirm`` or ``test``.
        record: The study's.
        possible: Configurations that the search may end with. Of a single one there is nothing to choose.
    """
    settings = record.get_plan(stage)
    if settings is None or possible < 2:
        return 0
    return (min(settings["top_k"], possible) if stage == "confirm" else 2) * len(settings["seeds"])


def read_training(trial: FrozenTrial, directory: Path, total_env_steps: int, metric: str, now: datetime) -> Training:
    """What a running trial has written so far.

    Args:
        trial: As the study knows it.
        directory: The trial's, which may not be there yet.
        total_env_steps: Env steps of its training.
        metric: What the study optimizes.
        now: With its time zone.
    """
    written_s = max(read_lives(trial)[-1].start.timestamp(), find_last_written_s(directory))
    rows = read_rows(directory / PROGRESS_CSV)
    held_out = next((row for row in reversed(rows) if row.get(f"selection_{metric}")), {})
    return Training(
        number=trial.number,
        params=read_params(trial),
        age_s=compute_runtime_s(trial, now),
        silent_s=max(now.timestamp() - written_s, 0.0),
        total_env_steps=total_env_steps,
        env_steps=int(rows[-1]["env_steps"]) if rows else 0,
        env_steps_per_s=_number(rows[-1], "env_steps_per_s") if rows else None,
        value=_number(held_out, f"selection_{metric}"),
        success_rate=_number(held_out, "selection_success_rate"),
    )


def read_rows(path: Path) -> list[dict[str, str]]:
    """The whole rows of a running trial's progress; none where the file is damaged."""
    try:
        rows = read_whole_rows(path)
        return rows if all(int(row["env_steps"]) >= 0 for row in rows) else []
    except (OSError, ValueError, TypeError, KeyError, csv.Error):
        return []


def find_last_written_s(directory: Path) -> float:
    """When a trial last wrote something [s since 1970], 0 if it has not."""
    newest = 0.0
    for path in directory.rglob("*"):
        with suppress(FileNotFoundError):  # a temporary one, renamed meanwhile
            newest = max(newest, path.stat().st_mtime)
    return newest


def _number(row: Mapping[str, str], key: str) -> float | None:
    return float(text) if (text := row.get(key)) else None
