"""Lookup of a checkpoint or an exported policy, and of the config to evaluate it with."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vbot_train.config.checks import check_evaluation
from vbot_train.config.composition import (
    ConfigError,
    find_checkpoint,
    load_recorded_config,
)
from vbot_train.config.recorded import list_unknown_keys
from vbot_train.config.schema import RecordedConfig
from vbot_train.evaluation.exported import is_exported, read_metadata
from vbot_train.training.result import FILE_NAME, ResultError, TrialResult

STUDY_RECORD = "study.yaml"


@dataclass(frozen=True, slots=True)
class RecordedRun:
    """A checkpoint and the record of its run."""

    directory: Path
    checkpoint: Path
    config: dict[str, Any]  # as recorded, of any version
    note: str | None  # for the user: which of several seeds was selected


@dataclass(frozen=True, slots=True)
class Subject:
    """A policy and the config to evaluate it with."""

    policy: Path  # a checkpoint, or an exported policy
    config: RecordedConfig  # the run's own config, possibly with a changed environment
    notes: tuple[str, ...]  # for the user: which of several seeds was selected, which keys are not read
    env: str  # changes relative to the run's own environment, for display


def find_subject(run: Path, env_option: str | None, overrides: Sequence[str]) -> Subject:
    """Look up a policy and the config of its run.

    Args:
        run: What ``find_run`` takes, or an exported policy.
        env_option: Option of ``conf/env/``; None keeps the run's own environment.
        overrides: ``KEY=VALUE`` for keys of env, evaluation and simulation, applied last.

    Raises:
        ConfigError: The policy, option or key does not exist, a value is invalid, or the GPU is missing.
    """
    if is_exported(run):
        policy, config, note = run, read_metadata(run)["config"], None
    else:
        found = find_run(run)
        policy, config, note = found.checkpoint, found.config, found.note
    checked = check_evaluation(config, env_option, overrides)
    env = " ".join([f"env={env_option}" if env_option else "its own env", *overrides])
    unknown = [key for key in list_unknown_keys(config) if env_option is None or not key.startswith("env.")]
    return Subject(policy, checked, tuple(filter(None, (note, _describe_unknown(unknown)))), env)


def find_run(run: Path) -> RecordedRun:
    """Look up a checkpoint and what its run recorded.

    Args:
        run: Directory of a run or trial (its best checkpoint is used, with several seeds that of the first one), or a
            checkpoint in a run's ``checkpoints/``.

    Raises:
        ConfigError: The run or the checkpoint does not exist.
    """
    if run.is_file() and run.parent.name != "checkpoints":
        raise ConfigError(f"{run}: lies not in the checkpoints/ of a run, whose config is needed too")
    if (run / STUDY_RECORD).is_file():
        raise ConfigError(f"{run}: is a study; name one of its trials, such as {run / 'trials' / '000'}")
    directory, note = (run.parent.parent, None) if run.is_file() else _read_first_seed(run)
    config = load_recorded_config(_read_recorded(directory))
    checkpoint = run if run.is_file() else find_checkpoint(directory)
    if not checkpoint.is_file():
        raise ConfigError(f"{run}: has no checkpoint ({checkpoint} is missing){_describe_end(directory)}")
    return RecordedRun(directory, checkpoint, config, note)


def _describe_unknown(keys: Sequence[str]) -> str | None:
    """Return a line about keys of earlier versions in the recorded config; None without any."""
    return f"its config has keys that no longer exist, which are ignored: {', '.join(keys)}" if keys else None


def _describe_end(directory: Path) -> str:
    """Describe how a run without a checkpoint ended; empty if unknown."""
    if not (directory / FILE_NAME).exists():
        return ""
    try:
        result = TrialResult.load(directory)
    except ResultError as error:
        return f"; {error}"
    return f"; it is {result.status}" + (f": {result.cause}" if result.cause else "")


def _read_first_seed(run: Path) -> tuple[Path, str | None]:
    """Return the run directory, or that of the first seed if a trial was trained on several seeds."""
    names = [path.parent.name for path in run.glob("seed_*/checkpoints")]
    if not names:
        return run, None
    names.sort(key=lambda name: (len(name), name))  # numerically
    return run / names[0], f"trained on several seeds ({', '.join(names)}): this is {names[0]}"


def _read_recorded(directory: Path) -> Path:
    """Return the directory with Hydra's record of a run; the seeds of a trial share the trial's record."""
    shared = directory.name.startswith("seed_") and not (directory / ".hydra").exists()
    return directory.parent if shared else directory
