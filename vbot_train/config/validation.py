"""From plain containers to the typed config. The first fault is a ConfigError with a one-line message."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticCustomError

from vbot_train.config.composition import ConfigError, compose_config, join_lines
from vbot_train.config.explanation import explain_errors
from vbot_train.config.key_types import Bounds
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
    return validate(Config, config)


def compose_validated(overrides: list[str] | None = None) -> Config:
    """Compose ``conf/config.yaml`` with overrides, outside a Hydra application; the result is typed."""
    return validate_config(compose_config(overrides))


def check_number(key: str, value: Any, bounds: Bounds) -> None:
    """Raise a ConfigError, which names the key, if a number is invalid."""
    try:
        bounds.check(value)
    except PydanticCustomError as error:
        raise ConfigError(join_lines(f"{key}={value}: {error.message()}")) from error


def validate(model: type[Model], content: Any, at: str = "") -> Model:
    """Return plain containers as a model of the schema.

    Args:
        model: The model.
        content: The containers.
        at: Key at which they stand, for messages; empty if they stand at the top.

    Raises:
        ConfigError: Describes the first unknown or missing key or invalid value.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        refuse(explain_errors(error, model, at))
        raise
