"""The steps of a chain: its stages in order, each generation a step of its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vbot_train.config.composition import CONF_DIR, ConfigError
from vbot_train.pipeline.schema import Compare, Search, Stage, Train

DEFAULT = "default"  # recipe of the configuration that the chain starts from


@dataclass(frozen=True, slots=True)
class Step:
    """One command line of a chain."""

    number: int  # from 1
    stage_name: str
    stage: Stage
    generation: int | None = None  # from 1; None: the stage has one only
    around: str | None = None  # recipe of the earlier search around which this one searches

    @property
    def recipe(self) -> str:
        """Name of its best configuration among the candidates of a comparison."""
        return self.stage_name if self.generation is None else f"{self.stage_name}-{self.generation}"

    @property
    def name(self) -> str:
        """Name of its folder."""
        return f"{self.number}-{self.recipe}"

    @property
    def is_search(self) -> bool:
        """Whether it is a study, not a single training."""
        return not isinstance(self.stage, Train)


def list_steps(stages: Mapping[str, Stage], folders: Sequence[Path] = (CONF_DIR,)) -> list[Step]:
    """List the steps of a chain.

    Args:
        stages: Its stages, by name.
        folders: Folders of options, whose recipes' names are taken.

    Raises:
        ConfigError: A stage's name is taken, or a stage refers to one that does not come before it.
    """
    steps: list[Step] = []
    for name, stage in stages.items():
        key = f"pipeline.stages.{name}"
        if isinstance(stage, Compare) and not any(isinstance(step.stage, Search) for step in steps):
            raise ConfigError(f"{key}.kind=compare: there is no search before it")
        if isinstance(stage, Train) and stage.goes_on and not any(isinstance(step.stage, Train) for step in steps):
            raise ConfigError(f"{key}.goes_on=true: there is no training before it")
        for step in _list_generations(name, stage, steps):
            _check_recipe(key, step.recipe, steps, folders)
            steps.append(step)
    if not steps:
        raise ConfigError("pipeline.stages={}: a chain needs a stage")
    return steps


def _check_recipe(key: str, recipe: str, before: Sequence[Step], folders: Sequence[Path]) -> None:
    if recipe == DEFAULT or any(step.recipe == recipe for step in before):
        raise ConfigError(f"{key}: the name {recipe} is taken; give another")
    for folder in folders:
        if (path := folder / "experiment" / f"{recipe}.yaml").exists():
            raise ConfigError(f"{key}: {recipe} is a recipe too ({path}); rename the stage or the file")


def _list_generations(name: str, stage: Stage, before: Sequence[Step]) -> list[Step]:
    number = len(before) + 1
    if not isinstance(stage, Search):
        return [Step(number, name, stage)]
    around = None if stage.around is None else _find_last(name, stage.around, before)
    if stage.generations == 1:
        return [Step(number, name, stage, None, around)]
    steps: list[Step] = []
    for generation in range(1, stage.generations + 1):
        steps.append(Step(number, name, stage, generation, around))
        number, around = number + 1, steps[-1].recipe
    return steps


def _find_last(name: str, around: str, before: Sequence[Step]) -> str:
    """Return the recipe of the last generation of an earlier search."""
    earlier = [step.recipe for step in before if step.stage_name == around and isinstance(step.stage, Search)]
    if not earlier:
        raise ConfigError(f"pipeline.stages.{name}.around={around}: there is no search of this name before it")
    return earlier[-1]
