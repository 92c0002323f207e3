"""Studies written by hand, in any state that a search can leave them in."""

import os
import sqlite3
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import RDBStorage
from optuna.trial import TrialState, create_trial
from sqlalchemy import NullPool

from vbot_train.study.attributes import CAUSE, LIVES, STATUS, WORKER
from vbot_train.study.layout import STUDY_DB
from vbot_train.study.record import StudyRecord
from vbot_train.training.result import TrialResult

SPACE = {
    "ppo.learning_rate": FloatDistribution(1e-5, 1e-2, log=True),
    "network": CategoricalDistribution(["small", "medium"]),
}
DEFAULT_POINT = {"ppo.learning_rate": 3e-4, "network": "medium"}
LATER = {"trial": IntDistribution(-1, 1000)}
HEADER = "number,env_steps,env_steps_per_s,reward,selection_episode_reward_mean,selection_success_rate\n"


def record_of(*, name="s", budget_hours=None, seeds_per_configuration=1, **changes):
    """A study's record: 10 trials of 1000 env steps."""
    config = {
        "budget_hours": budget_hours,
        "search": {"retries": 0, "seeds_per_configuration": seeds_per_configuration},
        "training": {"env_steps": 1000},
        "ppo": {"learning_rate": 3e-4},
    }
    content = {"metric": "episode_reward_mean", "max_trials": 10, "config": config, "groups": {"network": "medium"}}
    return StudyRecord.parse({"study": name, **content, **changes})


def life(start, lived_s=None):
    """A time during which a trial ran, or has run since, as its study holds it."""
    end = None if lived_s is None else (start + timedelta(seconds=lived_s)).isoformat()
    return {"start": start.isoformat(), "end": end, "env_steps": 0, "host": "here"}


def ended(lived_s=100.0, status="completed", *, start=None, value=1.0, cause=None, params=None, space=SPACE):
    """A trial that has ended."""
    state, value = (TrialState.COMPLETE, value) if status == "completed" else (TrialState.FAIL, None)
    start = start or datetime.now(UTC) - timedelta(seconds=lived_s)
    attributes = {STATUS: status, LIVES: [life(start, lived_s)], CAUSE: cause}
    trial = create_trial(
        state=state, value=value, user_attrs=attributes, params=params or DEFAULT_POINT, distributions=space
    )
    return trial


def running(age_s=0.0, *, now=None, params=None, space=SPACE):
    """A trial that has begun some time ago."""
    attributes = {WORKER: "a worker", LIVES: [life((now or datetime.now(UTC)) - timedelta(seconds=age_s))]}
    return create_trial(
        state=TrialState.RUNNING, params=params or DEFAULT_POINT, distributions=space, user_attrs=attributes
    )


def again(number, trial_of, *arguments, **options):
    """A training of a later stage: ``again(7, ended, 100.0)``."""
    return trial_of(*arguments, params={"trial": number}, space=LATER, **options)


def number_trials(trials):
    """As a study would."""
    for number, trial in enumerate(trials):
        trial.number = number
    return trials


def write_study(directory, trials=(), *, files=True, **record):
    """A study's directory and database; with the files of its trials, if no others are to be written."""
    directory.mkdir(parents=True, exist_ok=True)
    content = record_of(name=directory.name, **record)
    add_trials(directory, content.study, trials)
    if files:
        write_files(directory / "trials", trials, content.metric)
    content.write(directory)
    return directory


def add_trials(directory, name, trials):
    """Begin a study in the directory's database, with trials."""
    if not (directory / STUDY_DB).exists():
        (directory / STUDY_DB).write_bytes(empty_database())
    study = optuna.create_study(study_name=name, storage=fast_storage(directory / STUDY_DB), direction="maximize")
    for trial in trials:
        study.add_trial(trial)


def write_files(folder, trials, metric="episode_reward_mean", seeds=None):
    """What completed trials leave behind: results, on a seed each, and what they were trained on."""
    for number, trial in enumerate(trials):
        if trial.state == TrialState.COMPLETE:
            directory, seed = folder / f"{number:03d}", 42 if seeds is None else seeds[number]
            (directory / ".hydra").mkdir(parents=True)
            TrialResult("completed", number, seed, [seed], {metric: trial.value}).save(directory)
            (directory / ".hydra" / "config.yaml").write_text("seed: 1\n", encoding="utf-8")
            (directory / "experiment.yaml").write_text("seed: 1\n", encoding="utf-8")


@cache
def empty_database():
    """A file with Optuna's tables, which take a while to make."""
    with TemporaryDirectory() as folder:
        fast_storage(Path(folder) / STUDY_DB)
        return (Path(folder) / STUDY_DB).read_bytes()


def fast_storage(path):
    """A database that does not wait for the disk."""

    def connect():
        connection = sqlite3.connect(path)
        connection.executescript("PRAGMA synchronous = OFF; PRAGMA journal_mode = MEMORY")
        return connection

    settings = {"creator": connect, "poolclass": NullPool}
    return RDBStorage("sqlite:///study.db", settings, skip_compatibility_check=True, skip_table_creation=path.exists())


def write_curve(directory, *rows, half="", age_s=0.0):
    """What a trial has written so far: rows, half a row, and how long ago."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "progress.csv"
    path.write_text(HEADER + "".join(f"{row}\n" for row in rows) + half, encoding="utf-8")
    written_s = datetime.now().timestamp() - age_s
    os.utime(path, (written_s, written_s))
