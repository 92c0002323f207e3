"""From plain containers to the typed config. The first fault is a ConfigError with a one-line message."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from omegaconf import DictConfig, OmegaConf
from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticCustomError

from vbot_train.config.composition import ConfigError, compose_config, join_lines, to_plain
from vbot_train.config.explanation import explain_errors
from vbot_train.config.key_types import Bounds
from vbot_train.config.keys import list_keys
from vbot_train.config.schema import Config, RecordedConfig

Model = TypeVar("Model", bound=BaseModel)


def refuse(faults: Iterable[str]) -> None:
    """Raise the first fault, if there is one, as a ConfigError with a one-line message."""
    for fault in faults:
        raise ConfigError(join_lines(fault))


def validate_config(config: Mapping[str, Any]) -> Config:
    """Return a config composed by this version as typed, immutable values.

    Raises:
        ConfigError: Describes the first unknown or missing key or invalid value.
    """
    return _validate(Config, config)


def compose_validated(overrides: list[str] | None = None) -> Config:
    """Compose ``conf/config.yaml`` with overrides, outside a Hydra application; the result is typed."""
    return validate_config(compose_config(overrides))


def validate_recorded(config: Mapping[str, Any]) -> RecordedConfig:
    """Return what an evaluation reads of a run's recorded config, which may be of another version.

    Keys that are unknown now are dropped (``list_unknown_keys``). Keys that are new since then get the value of today's
    default.

    Raises:
        ConfigError: Describes the first missing key or invalid value.
    """
    now = compose_config()
    unknown = list_unknown_keys(config)
    then = {name: _drop(config[name], unknown, name) for name in RecordedConfig.model_fields if name in config}
    is_same_task = then.get("env", {}).get("task", now["env"]["task"]) == now["env"]["task"]
    newer = {group: now[group] for group in ("env", "ppo", "simulation") if group != "env" or is_same_task}
    return _validate(RecordedConfig, to_plain(DictConfig(OmegaConf.merge(OmegaConf.create(newer), then))))


def check_number(key: str, value: Any, bounds: Bounds) -> None:
    """Raise a ConfigError, which names the key, if a number is invalid."""
    try:
        bounds.check(value)
    except PydanticCustomError as error:
        raise ConfigError(join_lines(f"{key}={value}: {error.message()}")) from error


def list_unknown_keys(config: Mapping[str, Any]) -> list[str]:
    """Return the keys of a run's recorded config that an evaluation would read, but the schema does not have."""
    groups = [name for name in RecordedConfig.model_fields if name in config]
    return [key for name in groups for key in _find_unknown(name, config[name])]


def _find_unknown(name: str, content: Any) -> Iterator[str]:
    if name not in list_keys():
        yield name
    elif list_keys()[name].models and isinstance(content, Mapping):
        for inner, value in content.items():
            yield from _find_unknown(f"{name}.{inner}", value)


def _drop(content: Any, unknown: Collection[str], name: str) -> Any:
    """Return a group, in plain containers, without the unknown keys."""
    if not isinstance(content, Mapping):
        return content
    inner = {f"{name}.{key}": key for key in content}
    return {key: _drop(content[key], unknown, full) for full, key in inner.items() if full not in unknown}


def _validate(model: type[Model], content: Any) -> Model:
    try:
        return model.model_validate(content)
    except ValidationError as error:
        refuse(explain_errors(error))
        raise
