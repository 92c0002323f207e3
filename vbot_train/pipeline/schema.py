"""The stages of a chain, as an option of ``conf/pipeline/`` has them."""

import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from vbot_train.config.groups import Group
from vbot_train.config.key_types import Bounds, Count, Duration, Flag, Positive, Whole, fault, must


def _is_name(value: Any) -> bool:
    """Check a stage's name, which becomes part of names of studies, folders and recipes."""
    return isinstance(value, str) and re.fullmatch(r"[a-z][a-z0-9-]*", value) is not None


def _check_overrides(value: Any) -> Any:
    if isinstance(value, str) or not isinstance(value, Sequence) or not all(isinstance(each, str) for each in value):
        raise fault("must be a list of overrides, as in [training=quick]")
    return value


Name = Annotated[str, must(_is_name, "be a name, of lower-case letters, digits and '-'")]
Overrides = Annotated[tuple[str, ...], BeforeValidator(_check_overrides)]
Length = Annotated[float, Bounds(0, 1, excludes_low=True)]


class Search(Group):
    """A search for better settings than those of the stage before it."""

    kind: Literal["search"]
    name: Name
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
    name: Name
    share: Positive
    length: Length
    overrides: Overrides = ()


class Train(Group):
    """One training of what is best so far."""

    kind: Literal["train"]
    name: Name
    length: Length = 1.0
    goes_on: Flag = False  # whether it starts from the networks of the training before it
    overrides: Overrides = ()


Stage = Search | Compare | Train


class Pipeline(Group):
    """A chain of stages."""

    stages: tuple[Annotated[Stage, Field(discriminator="kind")], ...]


class AutomlKeys(Group):
    """The keys of ``conf/automl.yaml`` that are not those of a training or a search."""

    name: Any  # ``search.naming`` checks it
    budget_hours: Duration
    hp_trials: Count
    reward_trials: Count
    reward_generations: Whole
    pipeline: Pipeline
