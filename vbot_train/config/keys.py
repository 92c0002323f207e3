"""The keys of a config by their dotted names, read from the schema: bounds, role in a search, subkeys."""

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel

from vbot_train.config.groups import ConfigGroup
from vbot_train.config.key_types import Bounds, Role
from vbot_train.config.schema import Config


@dataclass(frozen=True, slots=True)
class Key:
    """A key of a config."""

    name: str  # dotted
    role: Role | None  # its own, else that of the group it stands in
    bounds: Bounds | None  # of a number
    models: tuple[type[BaseModel], ...]  # of its subkeys: none, one, or one for each variant such as a task


@functools.cache
def list_keys() -> dict[str, Key]:
    """Return every key, groups included, by its dotted name, in the schema's order."""
    return {key.name: key for key in _walk(Config, "", None)}


def list_subkeys(*models: type[BaseModel]) -> list[str]:
    """Return the names directly below a group, of all its variants."""
    names = (field.alias or name for model in models for name, field in model.model_fields.items())
    return list(dict.fromkeys(names))


def find_bounds(name: str) -> Bounds | None:
    """Return the bounds of a key; None if it is no number, or if there is no such key."""
    key = list_keys().get(name)
    return None if key is None else key.bounds


def _walk(model: type[BaseModel], prefix: str, inherited: Role | None) -> Iterator[Key]:
    for name, field in model.model_fields.items():
        marks = [*field.metadata, *_list_marks(field.annotation)]
        role = next((mark for mark in marks if isinstance(mark, Role)), inherited)
        bounds = next((mark for mark in marks if isinstance(mark, Bounds)), None)
        models = tuple(mark for mark in marks if isinstance(mark, type) and issubclass(mark, BaseModel))
        key = Key(f"{prefix}{field.alias or name}", role, bounds, models)
        yield key
        for inner in models:
            yield from _walk(inner, f"{key.name}.", role)


def _list_marks(annotation: Any) -> Iterator[Any]:
    """Yield the types and annotations inside a type, such as those of ``Annotated[int, Bounds(...)] | None``."""
    yield annotation
    for inner in get_args(annotation):
        yield from _list_marks(inner)


def _list_outermost(*roles: Role) -> tuple[str, ...]:
    """Return the keys with these roles, a group instead of its keys."""
    found: list[str] = []
    for name, key in list_keys().items():
        if key.role in roles and not any(name.startswith(f"{group}.") for group in found):
            found.append(name)
    return tuple(found)


RESULT_KEYS = _list_outermost(Role.SEARCHABLE, Role.RESULT)  # what a trial's result depends on
# Config groups that determine a trial's result.
GROUPS = tuple(name for name in RESULT_KEYS if any(issubclass(m, ConfigGroup) for m in list_keys()[name].models))
SEARCHABLE = _list_outermost(Role.SEARCHABLE)
HARDWARE_KEYS = _list_outermost(Role.HARDWARE)  # inside groups of RESULT_KEYS, but without effect on the result
# Number of threads of a trial; null chooses it. Two threads on a machine with other load cost a factor of ten.
THREAD_KEYS = tuple(sorted(name for name in HARDWARE_KEYS if find_bounds(name) is not None))
