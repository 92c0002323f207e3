"""From plain containers to the typed config. The first fault is a ConfigError with a one-line message."""

from collections.abc import Iterable, Mapping
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

    Keys that are unknown now are dropped. Keys that are new since then get the value of today's default.

    Raises:
        ConfigError: Describes the first missing key or invalid value.
    """
    now = compose_config()
    then = {name: drop_unknown_keys(name, config[name]) for name in RecordedConfig.model_fields if name in config}
    newer = OmegaConf.create({group: now[group] for group in ("env", "ppo", "simulation")})
    return _validate(RecordedConfig, to_plain(DictConfig(OmegaConf.merge(newer, then))))


def check_number(key: str, value: Any, bounds: Bounds) -> None:
    """Raise a ConfigError, which names the key, if a number is invalid."""
    try:
        bounds.check(value)
    except PydanticCustomError as error:
        raise ConfigError(join_lines(f"{key}={value}: {error.message()}")) from error


def drop_unknown_keys(name: str, content: Any) -> Any:
    """Return a group, in plain containers, without keys that the schema does not have."""
    key = list_keys().get(name)
    if key is None or not key.models or not isinstance(content, Mapping):
        return content
    return {
        inner: drop_unknown_keys(f"{name}.{inner}", value)
        for inner, value in content.items()
        if f"{name}.{inner}" in list_keys()
    }


def _validate(model: type[Model], content: Any) -> Model:
    try:
        return model.model_validate(content)
    except ValidationError as error:
        refuse(explain_errors(error))
        raise
