"""The steps of a chain: its stages in order, each generation a step of its own."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from vbot_train.config.composition import CONF_DIR, ConfigError
from vbot_train.pipeline.schema import Compare, Search, Stage, Train

DEFAULT = "default"  # recipe of the configuration that the chain starts from
EXPERIMENTS = CONF_DIR / "experiment"


@dataclass(frozen=True, slots=True)
class Step:
    """One command line of a chain."""

    number: int  # from 1
    stage: Stage
    generation: int | None = None  # from 1; None: the stage has one only
    around: str | None = None  # recipe of the earlier search around which this one searches

    @property
    def recipe(self) -> str:
        """Name of its best configuration among the candidates of a comparison."""
        return self.stage.name if self.generation is None else f"{self.stage.name}-{self.generation}"

    @property
    def name(self) -> str:
        """Name of its folder."""
        return f"{self.number}-{self.recipe}"

    @property
    def is_search(self) -> bool:
        """Whether it is a study, not a single training."""
        return not isinstance(self.stage, Train)


def list_steps(stages: Sequence[Stage]) -> list[Step]:
    """List the steps of a chain.

    Raises:
        ConfigError: Two stages have one name, or a stage refers to one that does not come before it.
    """
    steps: list[Step] = []
    for place, stage in enumerate(stages):
        key = f"pipeline.stages[{place}]"
        _check_name(key, stage.name, steps)
        if isinstance(stage, Compare) and not any(isinstance(step.stage, Search) for step in steps):
            raise ConfigError(f"{key}.kind=compare: there is no search before it")
        steps += _list_generations(key, stage, steps)
    if not steps:
        raise ConfigError("pipeline.stages=[]: a chain needs a stage")
    return steps


def _check_name(key: str, name: str, before: Sequence[Step]) -> None:
    if name == DEFAULT or any(step.stage.name == name or step.recipe == name for step in before):
        raise ConfigError(f"{key}.name={name}: is taken; give another")
    if (EXPERIMENTS / f"{name}.yaml").exists():
        raise ConfigError(f"{key}.name={name}: is a recipe of conf/experiment/; give another")


def _list_generations(key: str, stage: Stage, before: Sequence[Step]) -> Iterator[Step]:
    number = len(before) + 1
    if not isinstance(stage, Search):
        yield Step(number, stage)
        return
    around = None
    if stage.around is not None:
        earlier = [step.recipe for step in before if step.stage.name == stage.around and isinstance(step.stage, Search)]
        if not earlier:
            raise ConfigError(f"{key}.around={stage.around}: there is no search of this name before it")
        around = earlier[-1]
    for generation in range(1, stage.generations + 1):
        step = Step(number, stage, generation if stage.generations > 1 else None, around)
        yield step
        number, around = number + 1, step.recipe
