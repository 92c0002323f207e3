"""Lookup of a recorded checkpoint, and of the config to evaluate it with."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vbot_train.config.checks import check_evaluation
from vbot_train.config.composition import (
    ConfigError,
    find_checkpoint,
    load_recorded_config,
)
from vbot_train.config.recorded import list_unknown_keys
from vbot_train.config.schema import RecordedConfig
from vbot_train.training.result import FILE_NAME, ResultError, TrialResult


@dataclass(frozen=True, slots=True)
class Subject:
    """A checkpoint and the config to evaluate it with."""

    checkpoint: Path
    config: RecordedConfig  # the run's own config, possibly with a changed environment
    notes: tuple[str, ...]  # for the user: which of several seeds was selected, which keys are not read
    env: str  # changes relative to the run's own environment, for display


def find_subject(run: Path, env_option: str | None, overrides: Sequence[str]) -> Subject:
    """Look up a checkpoint and the config of its run.

    Args:
        run: Directory of a run or trial (its best checkpoint is used, with several seeds that of the first one), or a
            checkpoint in a run's ``checkpoints/``.
        env_option: Option of ``conf/env/``; None keeps the run's own environment.
        overrides: ``KEY=VALUE`` for keys of env, evaluation and simulation, applied last.

    Raises:
        ConfigError: The run, checkpoint, option or key does not exist, a value is invalid, or the GPU is missing.
    """
    if run.is_file() and run.parent.name != "checkpoints":
        raise ConfigError(f"{run}: lies not in the checkpoints/ of a run, whose config is needed too")
    if (run / "study.yaml").is_file():
        raise ConfigError(f"{run}: is a study; name one of its trials, such as {run / 'trials' / '000'}")
    directory, note = (run.parent.parent, None) if run.is_file() else _read_first_seed(run)
    config = load_recorded_config(_read_recorded(directory))
    checked = check_evaluation(config, env_option, overrides)
    checkpoint = run if run.is_file() else find_checkpoint(directory)
    if not checkpoint.is_file():
        raise ConfigError(f"{run}: has no checkpoint ({checkpoint} is missing){_describe_end(directory)}")
    env = " ".join([f"env={env_option}" if env_option else "its own env", *overrides])
    unknown = [key for key in list_unknown_keys(config) if env_option is None or not key.startswith("env.")]
    notes = (note, _describe_unknown(unknown))
    return Subject(checkpoint, checked, tuple(filter(None, notes)), env)


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
