"""Base classes of the schema's groups of keys."""

from pydantic import BaseModel, ConfigDict


class Group(BaseModel):
    """A group of keys. Immutable; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ConfigGroup(Group):
    """A group of keys that come from an option of a config group, a file of ``conf/NAME/``."""
