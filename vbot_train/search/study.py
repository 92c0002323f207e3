"""The study: one SQLite file and one record of what was asked, in the study's directory."""

import importlib.metadata
import os
import platform
import subprocess
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, cast

import optuna
import yaml
from omegaconf import DictConfig, OmegaConf
from optuna.storages import RDBStorage

from vbot_train.config import ROOT, ConfigError
from vbot_train.result import METRICS, write_atomically
from vbot_train.search.experiment import experiment_of
from vbot_train.search.space import Candidate

STUDY_DB = "study.db"
STUDY_YAML = "study.yaml"
EXPERIMENT_YAML = "experiment.yaml"
PACKAGES = ("hydra-core", "omegaconf", "hydra-optuna-sweeper", "optuna", "torch", "skrl", "mujoco", "numpy")

Direction = Literal["maximize", "minimize"]


def create_study(
    directory: Path, name: str, metric: str, sampler: optuna.samplers.BaseSampler, record: Mapping[str, Any]
) -> optuna.Study:
    """Create a study in a new directory, and write down what it is.

    Args:
        directory: The study's directory.
        name: The study's name.
        metric: One of ``result.METRICS``.
        sampler: Draws the points.
        record: What to write into ``study.yaml``, beside what the machine knows.

    Raises:
        ConfigError: The directory already holds a study.
    """
    try:
        (directory / "trials").mkdir(parents=True)
    except FileExistsError:
        raise ConfigError(f"study={name}: {directory} already holds a study; choose another name") from None
    content = {"study": name, "metric": metric, **record, **surroundings()}
    write_atomically(directory / STUDY_YAML, yaml.safe_dump(content, sort_keys=False))
    study = optuna.create_study(
        study_name=name,
        storage=RDBStorage(f"sqlite:///{directory / STUDY_DB}"),
        sampler=sampler,
        direction=cast(Direction, METRICS[metric]),
    )
    study.set_user_attr("infeasible", {})
    return study


def record_trial(directory: Path, number: int, candidate: Candidate, hydra_node: DictConfig) -> None:
    """Write what a trial trains on: Hydra's record, the config resolved, and the trial as an experiment option."""
    record = directory / ".hydra"
    record.mkdir()
    node = DictConfig(OmegaConf.to_container(hydra_node, resolve=False))
    node.job.id, node.job.num = str(number), number
    node.overrides.task = candidate.overrides
    OmegaConf.save(candidate.config, record / "config.yaml")
    OmegaConf.save({"hydra": node}, record / "hydra.yaml")
    OmegaConf.save(candidate.overrides, record / "overrides.yaml")
    (directory / EXPERIMENT_YAML).write_text(experiment_of(candidate))


def surroundings() -> dict[str, Any]:
    """Code revision, versions and hardware."""
    return {
        "command": sys.argv,
        "revision": revision(),
        "versions": {"python": platform.python_version(), **{p: importlib.metadata.version(p) for p in PACKAGES}},
        "hardware": {"machine": platform.machine(), "system": platform.platform(), "cores": os.cpu_count()},
    }


def revision() -> str | None:
    """The commit of the code, marked if it was edited since; None outside a git checkout."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def quiet_optuna() -> None:
    """Optuna tells of every trial and of every experimental argument; our own display does the former."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
