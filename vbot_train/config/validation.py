"""From plain containers to the typed config. The first fault is a ConfigError with a one-line message."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticCustomError

from vbot_train.config.composition import ConfigError, join_lines
from vbot_train.config.explanation import explain_errors
from vbot_train.config.key_types import Bounds
from vbot_train.config.keys import list_keys
from vbot_train.config.schema import Config

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
    return _validate(Config, config, "")


def validate_group(model: type[Model], name: str, content: Any) -> Model:
    """Return one group of a recorded config, which may be of another version: keys that are unknown now are dropped.

    Args:
        model: The group's model.
        name: The group's key.
        content: The group in plain containers.

    Raises:
        ConfigError: Describes the first missing key or invalid value.
    """
    return _validate(model, drop_unknown_keys(name, content), f"{name}.")


def check_number(key: str, value: Any, bounds: Bounds) -> None:
    """Raise a ConfigError, which names the key, if a number is invalid."""
    try:
        bounds.check(value)
    except PydanticCustomError as error:
        raise ConfigError(join_lines(f"{key}={value}: {error.message()}")) from error


def drop_unknown_keys(name: str, content: Any) -> Any:
    """Return a group, in plain containers, without keys that the schema does not have."""
    key = list_keys().get(name)
    if key is None or key.model is None or not isinstance(content, Mapping):
        return content
    return {
        inner: drop_unknown_keys(f"{name}.{inner}", value)
        for inner, value in content.items()
        if f"{name}.{inner}" in list_keys()
    }


def _validate(model: type[Model], content: Any, prefix: str) -> Model:
    try:
        return model.model_validate(content)
    except ValidationError as error:
        refuse(explain_errors(error, prefix))
        raise
