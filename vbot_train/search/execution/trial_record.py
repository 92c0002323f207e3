"""The record of a trial in its directory: its config, and an option of the config group ``experiment``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf

from vbot_train.config.composition import look_up, with_values
from vbot_train.config.keys import GROUPS, RESULT_KEYS
from vbot_train.search.space.space import Candidate
from vbot_train.study.layout import CONFIG_YAML, EXPERIMENT_YAML, HYDRA
from vbot_train.training.files import write_atomically


def write_experiment(candidate: Candidate) -> str:
    """Write the option as text: config groups by name, and every value that differs from them.

    A group whose option is not one of conf/ is written out, as is one that lacks a key of its option: a value can be
    set over an option, but not taken out of it. Where a user's copy of conf/ was composed, everything is written out.
    """
    config = candidate.config
    base = {
        key: value
        for key, value in candidate.base.items()
        if key not in GROUPS or not _has_missing_options(config[key], value)
    }
    body: dict[str, Any] = {
        "defaults": [{f"override /{group}": candidate.choices[group] if group in base else None} for group in GROUPS],
        **find_difference(with_values({}, {key: look_up(config, key) for key in RESULT_KEYS}), base),
    }
    text: str = yaml.safe_dump(body, sort_keys=False, allow_unicode=True)
    return text


def find_difference(config: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    """Find the values of ``config`` that are missing or different in ``base``, with the same nesting."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping) and isinstance(base.get(key), Mapping):
            if nested := find_difference(value, base[key]):
                found[key] = nested
        elif key not in base or base[key] != value:
            found[key] = value
    return found


def _has_missing_options(config: Mapping[str, Any], base: Mapping[str, Any]) -> bool:
    """Check whether a key of the base is missing in a config."""
    nested = [key for key, value in base.items() if isinstance(value, Mapping) and isinstance(config.get(key), Mapping)]
    return not base.keys() <= config.keys() or any(_has_missing_options(config[key], base[key]) for key in nested)


def record_trial(directory: Path, number: int, candidate: Candidate, hydra_record: DictConfig) -> None:
    """Write Hydra's record, the resolved config and the experiment option into a trial's directory.

    Args:
        directory: The trial's.
        number: Of the trial.
        candidate: Its configuration.
        hydra_record: A copy of Hydra's own config below the key ``hydra``; it is changed to be this trial's.
    """
    record = directory / HYDRA
    record.mkdir(exist_ok=True)
    node = hydra_record.hydra
    node.job.id, node.job.num = str(number), number
    node.overrides.task = candidate.overrides
    OmegaConf.save(hydra_record, record / "hydra.yaml")
    OmegaConf.save(candidate.overrides, record / "overrides.yaml")
    (directory / EXPERIMENT_YAML).write_text(write_experiment(candidate), encoding="utf-8")
    write_atomically(record / CONFIG_YAML, OmegaConf.to_yaml(OmegaConf.create(candidate.config)))  # last: it is whole
