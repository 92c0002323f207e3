"""``automl_state.yaml``: how far a chain is. It is written whole or not at all, after every trial."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vbot_train.config.composition import ConfigError
from vbot_train.training.comparable import flatten, list_changes
from vbot_train.training.files import FileError, read_whole_yaml, write_atomically

STATE_YAML = "automl_state.yaml"

NO_TIME = "no time was left"
NO_GOAL = "its best never reached the goal: nothing is handed on"
Status = Literal["waiting", "running", "done", "skipped"]


class Part(BaseModel):
    """A part of the state. Unknown keys are kept: a newer version may have written them."""

    model_config = ConfigDict(extra="allow")


class Speed(Part):
    """How fast this machine trains, with all workers at work."""

    workers: int  # trials that trained at a time
    fixed_s: float  # of a training: start and end [s]
    env_steps_per_s: float  # of one training, while it learns
    evaluation_env_steps_per_s: float  # of one training, while it is evaluated
    factor: float = 1.0  # real trainings took so many times longer than these three say


class StepState(Part):
    """How far one step is."""

    name: str
    status: Status = "waiting"
    generation: str | None = None  # such as "2 of 3"
    command: str | None = None  # the line that runs it again, or goes on with it
    budget_hours: float | None = None  # of a search [h], over all its resumes
    hours: float = 0.0  # wall clock spent [h]
    ended: int = 0  # trials of all its stages that have ended for good, or are paused
    total: int | None = None  # at which it ends
    best: dict[str, Any] | None = None  # the best so far: its values in task units, with intervals
    note: str | None = None  # why it was skipped
    candidates: list[str] = Field(default_factory=list)  # of a comparison that has begun: the recipes
    test_seeds: int | None = None  # of a comparison that has begun: on so many it tests


class ChainState(Part):
    """How far a chain is."""

    schema_version: int = 1
    name: str
    pipeline: str
    command: str  # the line that goes on
    status: Literal["running", "stopped", "done"] = "running"
    budget_hours: float
    hours_used: float = 0.0  # wall clock over all resumes [h]
    hours_left: float = 0.0
    stage: str | None = None  # the step that runs
    generation: str | None = None
    trial: str | None = None  # of that step: how many have ended
    best: dict[str, Any] | None = None  # the best so far, of the latest step that has one
    speed: Speed | None = None
    steps: list[StepState]
    settings: dict[str, Any]  # what must be the same to go on

    @classmethod
    def read(cls, directory: Path) -> Self | None:
        """Read a chain's state; None if there is none.

        Raises:
            ConfigError: The file cannot be read, or is not the state of a chain.
        """
        path = directory / STATE_YAML
        if not path.exists():
            return None
        try:
            return cls.model_validate(read_whole_yaml(path))
        except FileError as error:
            raise ConfigError(f"name={directory.name}: {error}") from error
        except ValidationError as error:
            raise ConfigError(f"name={directory.name}: {path} is not the state of a chain") from error

    def write(self, directory: Path) -> None:
        """Write the state into the chain's directory."""
        content = self.model_dump(mode="json")
        write_atomically(directory / STATE_YAML, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))

    @property
    def has_begun(self) -> bool:
        """Whether any step has."""
        return any(step.status != "waiting" for step in self.steps)

    def change_budget(self, budget_hours: float) -> None:
        """Take over another budget. With more hours, steps that were skipped for want of time get another chance.

        Raises:
            ConfigError: There is less than was used.
        """
        if budget_hours < min(self.budget_hours, self.hours_used):
            raise ConfigError(f"budget_hours={budget_hours:g}: this chain has used {self.hours_used:.2f} h")
        if budget_hours > self.budget_hours:
            for step in reversed(self.steps):
                if step.status == "done":
                    break
                step.status, step.note = ("waiting", None) if step.status == "skipped" else (step.status, step.note)
                step.budget_hours = None if step.status == "waiting" else step.budget_hours
        self.budget_hours = budget_hours

    def find(self, name: str) -> StepState:
        """Return the state of a step."""
        return next(step for step in self.steps if step.name == name)

    def refuse_other(self, settings: Mapping[str, Any]) -> None:
        """Refuse to go on with other settings.

        Raises:
            ConfigError: Some settings differ; the message lists them, then and now.
        """
        then, now = (dict(flatten("", each)) for each in (self.settings, settings))
        if lines := [f"  {line}" for _, line in list_changes(then, now)]:
            head = f"name={self.name}: this chain was begun with other settings (then -> now)"
            raise ConfigError("\n".join([head, *lines, "give those again to go on with it, or choose another name"]))
