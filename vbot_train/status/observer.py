"""Current progress of a study, read from its database and from the files of its running trials.

Nothing is written and no lock of a search is taken, so reading does not disturb the search.
"""

import csv
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from vbot_train.analysis.verdict import Verdict
from vbot_train.study.accounting import TrialCounts, read_params
from vbot_train.study.errors import StudyError
from vbot_train.study.layout import STAGES, STUDY_YAML, TRIALS, locate_trial
from vbot_train.study.lives import compute_runtime_s, find_end, read_lives
from vbot_train.study.loading import build_study
from vbot_train.study.record import StudyRecord
from vbot_train.study.rungs import NO_RUNGS
from vbot_train.study.storage import READ_ERRORS, extract_database_message, open_to_read, quiet_optuna, read_trials
from vbot_train.study.storage_url import HIDDEN
from vbot_train.study.timing import HOUR_S, compute_spent_s
from vbot_train.study.trials import is_own
from vbot_train.training.progress import PROGRESS_CSV, read_whole_rows

PAUSE_S = 10.0  # a live search starts its next trial well within this time
SILENT_S = 120.0  # a live trial writes a row per update; the only longer pause is its last evaluation


@dataclass(frozen=True, slots=True)
class Training:
    """A trial that is running according to the database."""

    number: int
    params: Mapping[str, Any]
    age_s: float  # runtime so far, without pauses
    silent_s: float  # time since it last wrote a file
    total_env_steps: int  # of the whole training
    env_steps: int = 0  # done so far
    env_steps_per_s: float | None = None  # in the last update
    value: float | None = None  # last held-out value of the optimized metric
    success_rate: float | None = None  # of the same evaluation, in [0, 1]

    @property
    def share(self) -> float:
        """Share of the training that is done, in [0, 1]."""
        return min(self.env_steps / self.total_env_steps, 1.0)

    @property
    def is_silent(self) -> bool:
        """Whether it has written nothing for so long that it must have stopped or hung."""
        return self.silent_s > SILENT_S


@dataclass(frozen=True, slots=True)
class Stage:
    """The search, the confirm stage or the test stage."""

    name: str  # folder of its trials
    trials: Sequence[FrozenTrial]
    counts: TrialCounts
    total: int  # number of trials at which it ends
    running: list[Training]

    @property
    def ended(self) -> int:
        """Number of trials that have ended for good or are paused."""
        return self.counts.started - len(self.running)

    @property
    def alive(self) -> list[Training]:
        """The running trials that are not silent."""
        return [training for training in self.running if not training.is_silent]

    @property
    def silent(self) -> set[int]:
        """Numbers of the silent running trials."""
        return {training.number for training in self.running if training.is_silent}


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress of a study at one moment."""

    record: StudyRecord
    stages: list[Stage]  # the search, then the later stages
    now: datetime  # UTC
    verdict: Verdict  # verdict on the trials that have ended

    @property
    def search(self) -> Stage:
        """The search, which is the first stage."""
        return self.stages[0]

    @property
    def trials(self) -> list[FrozenTrial]:
        """Trials of all stages."""
        return [trial for stage in self.stages for trial in stage.trials]

    @property
    def running(self) -> list[Training]:
        """Running trials of all stages, including silent ones."""
        return [training for stage in self.stages for training in stage.running]

    @property
    def is_over(self) -> bool:
        """Whether every stage has all its trials."""
        is_waited_for = self.search.counts.find_promotable() is not None  # a paused trial has become one of the best
        return not is_waited_for and all(stage.ended >= stage.total for stage in self.stages)

    @property
    def idle_s(self) -> float | None:
        """Time since a trial last ended [s]; None before the first has ended."""
        ends = [end for trial in self.trials if (end := find_end(trial)) is not None]
        return max((self.now - max(ends)).total_seconds(), 0.0) if ends else None

    @property
    def is_alive(self) -> bool:
        """Whether a trial is running, or ended so recently that the next one is about to start."""
        is_between = not self.running and self.idle_s is not None and self.idle_s < PAUSE_S
        return not self.is_over and (is_between or any(stage.alive for stage in self.stages))

    @property
    def spent_s(self) -> float:
        """Time during which a trial ran [s]. Time in which all running trials are silent is not counted."""
        silence = [training.silent_s for training in self.running if training.is_silent]
        quiet_s = min(silence) if len(silence) == len(self.running) and silence else 0.0
        return max(compute_spent_s(self.trials, self.now) - quiet_s, 0.0)

    @property
    def left_s(self) -> float | None:
        """Remaining budget [s], None without one."""
        hours = self.record.budget_hours
        return None if hours is None else max(float(hours) * HOUR_S - self.spent_s, 0.0)


class Observer:
    """Reader of a study's progress, for repeated use.

    Args:
        directory: The study's directory.
        storage: Storage URL with the password, if the record's URL lacks the password.
    """

    def __init__(self, directory: Path, storage: str | None = None) -> None:
        self.directory = directory
        self._storage = storage
        self._opened: dict[str | None, BaseStorage] = {}  # kept open because it caches the trials that have ended
        quiet_optuna()

    def look(self) -> Progress:
        """Read the current progress of the study.

        Raises:
            StudyError: The directory is not that of a study, or cannot be read now; a retry may succeed.
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
        except (*READ_ERRORS, ValueError) as error:  # ValueError: a file was damaged by a power cut
            raise StudyError(f"{self.directory}: cannot be read ({extract_database_message(error)})") from error

    def _look(self, record: StudyRecord, now: datetime) -> Progress:
        """Read the progress of the search and of the later stages that are planned or started."""
        trials = read_trials(self._open_database(record), record.study)
        verdict = Verdict(build_study(self.directory, record, trials), record.metric)
        search = self._read_stage(TRIALS, trials[TRIALS], record, now)
        possible = len(verdict.screened) + max(search.total - search.ended, 0) // record.seeds_per_configuration
        stages = [search]
        for stage in STAGES:
            if stage in trials:
                stages.append(self._read_stage(stage, trials[stage], record, now))
            elif (planned := record.plan.limit_to(possible).get_stage(stage)) is not None:
                stages.append(Stage(stage, [], TrialCounts([], retries=0), planned.trainings, []))
        return Progress(record, stages, now, verdict)

    def _read_stage(self, name: str, found: Sequence[FrozenTrial], record: StudyRecord, now: datetime) -> Stage:
        trials = [trial for trial in found if is_own(trial)]
        counts = TrialCounts(trials, record.retries, rungs=record.rungs if name == TRIALS else NO_RUNGS)
        running = [
            self._read_training(trial, name, record, now) for trial in trials if trial.state == TrialState.RUNNING
        ]
        own = record.max_trials * record.seeds_per_configuration
        total = own if name == TRIALS else counts.promised  # a later stage queues all its trials at once
        return Stage(name, trials, counts, total, running)

    def _read_training(self, trial: FrozenTrial, stage: str, record: StudyRecord, now: datetime) -> Training:
        env_steps = record.settings.training.env_steps
        if env_steps is None:
            raise StudyError(f"{self.directory}: {STUDY_YAML} has no training.env_steps")
        directory = locate_trial(self.directory / stage, trial.number)
        return read_training(trial, directory, env_steps, record.metric, now)

    def _open_database(self, record: StudyRecord) -> BaseStorage:
        home = record.find_home(self._storage)
        if home is not None and HIDDEN in home:
            raise StudyError(f"{self.directory}: lives in {home}; --storage must give it with the password")
        if home not in self._opened:
            self._opened[home] = open_to_read(home, self.directory)
        return self._opened[home]


def read_training(trial: FrozenTrial, directory: Path, total_env_steps: int, metric: str, now: datetime) -> Training:
    """Read what a running trial has written so far.

    Args:
        trial: The trial in the database.
        directory: The trial's directory, which may not exist yet.
        total_env_steps: Env steps of its whole training.
        metric: The optimized metric.
        now: Current time, with time zone.
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
        env_steps_per_s=_parse_number(rows[-1], "env_steps_per_s") if rows else None,
        value=_parse_number(held_out, f"selection_{metric}"),
        success_rate=_parse_number(held_out, "selection_success_rate"),
    )


def read_rows(path: Path) -> list[dict[str, str]]:
    """Read the complete rows of a running trial's progress file; none if the file is damaged."""
    try:
        rows = read_whole_rows(path)
        return rows if all(int(row["env_steps"]) >= 0 for row in rows) else []
    except (OSError, ValueError, TypeError, KeyError, csv.Error):
        return []


def find_last_written_s(directory: Path) -> float:
    """Return when a trial last wrote a file [s since 1970], 0 if it has written none."""
    newest = 0.0
    for path in directory.rglob("*"):
        with suppress(FileNotFoundError):  # a temporary file that was renamed meanwhile
            newest = max(newest, path.stat().st_mtime)
    return newest


def _parse_number(row: Mapping[str, str], key: str) -> float | None:
    return float(text) if (text := row.get(key)) else None
