"""Where an exported policy comes from: run, checkpoint, config and code. Holds no path of a machine."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vbot_train.config.schema import RecordedConfig
from vbot_train.evaluation.recorded import STUDY_RECORD, RecordedRun
from vbot_train.training.files import FileError, read_whole_yaml
from vbot_train.training.result import ResultError, TrialResult

GROUPS = (*RecordedConfig.model_fields, "training")  # the others are about the search, or name places of a machine


def describe_source(run: RecordedRun) -> dict[str, str]:
    """Return the ``source`` of a ``motrix-deploy/v1`` manifest."""
    place = run.directory.resolve()
    study = _find_study(run.directory)
    names = (place.name,) if study is None else (study.name, place.parent.name, place.name)
    checkpoint = f"{run.checkpoint.parent.name}/{run.checkpoint.name}"
    return {"framework": "skrl.ppo/torch", "run_id": "/".join(names), "checkpoint": checkpoint}


def describe_training(run: RecordedRun) -> dict[str, Any]:
    """Return env steps and held-out metrics of a checkpoint, and the code of its study; None: unknown."""
    env_steps, metrics = _read_result(run)
    return {
        "checkpoint": run.checkpoint.name,
        "env_steps": env_steps,
        "metrics": metrics,
        "trained_with": _read_code(_find_study(run.directory)),
    }


def select_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the groups of a recorded config that say what was trained, and that an evaluation reads."""
    return {name: config[name] for name in GROUPS if name in config}


def _find_study(directory: Path) -> Path | None:
    """Return the directory of the study that a run belongs to; None for a single run."""
    study = directory.resolve().parent.parent
    return study if (study / STUDY_RECORD).is_file() else None


def _read_result(run: RecordedRun) -> tuple[int | None, dict[str, float | None] | None]:
    """Return training env steps and metrics of a checkpoint; None if the run has no result, or another name."""
    try:
        result = TrialResult.load(run.directory)
    except ResultError:
        return None, None
    found = {"best.pt": (result.best_env_steps, result.metrics), "last.pt": (result.env_steps, result.last_metrics)}
    return found.get(run.checkpoint.name, (None, None))


def _read_code(study: Path | None) -> dict[str, Any] | None:
    """Return code revision and package versions from the record of a study; None without one that can be read."""
    if study is None:
        return None
    try:
        record = read_whole_yaml(study / STUDY_RECORD)
    except FileError:
        return None
    return {key: record.get(key) for key in ("revision", "versions")}
