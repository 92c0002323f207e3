"""The stages of a chain, as an option of ``conf/pipeline/`` has them."""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from vbot_train.config.composition import ConfigError
from vbot_train.config.groups import Group
from vbot_train.config.key_types import Bounds, Count, Duration, Flag, Positive, Whole, fault
from vbot_train.config.validation import validate


def _check_overrides(value: Any) -> Any:
    if isinstance(value, str) or not isinstance(value, Sequence) or not all(isinstance(each, str) for each in value):
        raise fault("must be a list of overrides, as in [training=quick]")
    return value


Overrides = Annotated[tuple[str, ...], BeforeValidator(_check_overrides)]
Length = Annotated[float, Bounds(0, 1, excludes_low=True)]


class Search(Group):
    """A search for better settings than those of the stage before it."""

    kind: Literal["search"]
    search: str  # option of conf/search/
    trials: Count
    generations: Whole = 1
    around: str | None = None
    share: Positive
    length: Length
    overrides: Overrides = ()


class Compare(Group):
    """The best of all earlier searches and the default against each other, confirmed and tested."""

    kind: Literal["compare"]
    share: Positive
    length: Length = 1.0
    test_seeds: Count | None = None  # the winner and the default are tested on so many at most
    overrides: Overrides = ()


class Train(Group):
    """One training of what is best so far."""

    kind: Literal["train"]
    length: Length = 1.0
    goes_on: Flag = False  # whether it starts from the networks of the training before it
    overrides: Overrides = ()


Stage = Search | Compare | Train
KINDS: dict[str, type[Stage]] = {"search": Search, "compare": Compare, "train": Train}


class Pipeline(Group):
    """A chain of stages, in their order; ``read_stages`` reads them."""

    stages: dict[str, Any]


class AutomlKeys(Group):
    """The keys of ``conf/automl.yaml`` that are not those of a training or a search."""

    name: Any  # ``search.naming`` checks it
    budget_hours: Duration
    hp_trials: Count
    reward_trials: Count
    reward_generations: Whole
    pipeline: Pipeline


def read_stages(content: Mapping[str, Any]) -> dict[str, Stage]:
    """Read the stages of a chain.

    Raises:
        ConfigError: A name, a kind, a key or a value is invalid.
    """
    return {name: _read_stage(f"pipeline.stages.{name}", name, stage) for name, stage in content.items()}


def _read_stage(key: str, name: str, content: Any) -> Stage:
    if re.fullmatch(r"[a-z][a-z0-9-]*", name) is None:  # it becomes part of names of studies, folders and recipes
        raise ConfigError(f"{key}: its name must be of lower-case letters, digits and '-'")
    kind = content.get("kind") if isinstance(content, Mapping) else None
    if kind not in KINDS:
        raise ConfigError(f"{key}.kind={kind}: choose one of {', '.join(KINDS)}")
    return validate(KINDS[kind], content, key)
