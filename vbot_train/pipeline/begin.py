"""Begin a chain or go on with it: what is checked before anything trains, and the state that it has."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vbot_train.config.composition import ConfigError
from vbot_train.pipeline.chain import Chain
from vbot_train.pipeline.command import Commands
from vbot_train.pipeline.compose import Composed, compose_line
from vbot_train.pipeline.lines import build_comparison_line, build_search_line, build_training_line
from vbot_train.pipeline.schema import Compare, Search
from vbot_train.pipeline.state import STATE_YAML, ChainState, StepState
from vbot_train.pipeline.steps import DEFAULT, Step
from vbot_train.training.comparable import result_settings

HOW = ("scheduler", "search")  # what decides how a stage searches
LOCK = "automl.lock"  # in the chain's directory: held by the command that runs it


@dataclass(frozen=True, slots=True)
class Planned:
    """A step, and what its line composes."""

    step: Step
    composed: Composed


def compose_steps(chain: Chain) -> list[Planned]:
    """Compose the line of each step as far as it is known before the chain begins.

    Raises:
        ConfigError: A value is invalid.
        CompactHydraException: A key or an option does not exist.
    """
    return [Planned(step, compose_line(build_example(chain, step), chain.conf_dir)) for step in chain.steps]


def build_example(chain: Chain, step: Step) -> list[str]:
    """Build the step's line as far as it is known before the chain begins."""
    if isinstance(step.stage, Search):
        return build_search_line(chain, step, None, chain.keys.budget_hours)
    if isinstance(step.stage, Compare):
        recipes = [DEFAULT, *(each.recipe for each in chain.steps[: step.number - 1])]
        return build_comparison_line(chain, step, recipes, chain.keys.budget_hours)
    return build_training_line(chain, step, None, None)


def check_searches(chain: Chain, commands: Commands) -> None:
    """Check what each search's line says before anything trains, as far as it is known.

    Raises:
        ConfigError: A line is invalid.
    """
    for step in chain.steps:
        if isinstance(step.stage, Search) and step.generation in (None, 1):
            line = build_search_line(chain, step, None, chain.keys.budget_hours)
            if (fault := commands.check(line)) is not None:
                raise ConfigError(f"{step.name}: {fault}")


def open_state(chain: Chain, planned: Sequence[Planned], command: str) -> ChainState:
    """Read the state of a chain that goes on, or build that of a new one.

    Raises:
        ConfigError: The chain was begun with other settings, or the folder holds something else.
    """
    settings = describe_settings(chain, planned)
    found = ChainState.read(chain.directory)
    if found is not None and found.has_begun:
        found.refuse_other(settings)
        found.change_budget(chain.keys.budget_hours)
        found.command, found.status = command, "running"
        return found
    if found is None and chain.directory.is_dir() and any(path.name != LOCK for path in chain.directory.iterdir()):
        raise ConfigError(
            f"name={chain.name}: {chain.directory} holds something else (no {STATE_YAML}); choose another name"
        )
    return ChainState(
        name=chain.name,
        pipeline=", ".join(dict.fromkeys(step.stage_name for step in chain.steps)),
        command=command,
        budget_hours=chain.keys.budget_hours,
        steps=[StepState(name=step.name, generation=_describe_generation(step)) for step in chain.steps],
        settings=settings,
        speed=None if found is None or found.settings["config"] != settings["config"] else found.speed,
        hours_used=0.0 if found is None else found.hours_used,
    )


def describe_settings(chain: Chain, planned: Sequence[Planned]) -> dict[str, Any]:
    """Return what must be the same to go on: stages, ranges, how they search, and what a result depends on."""
    steps = {
        each.step.name: {
            **each.step.stage.model_dump(mode="json"),
            "ranges": each.composed.ranges,
            "method": each.composed.method,
            **each.composed.config.model_dump(mode="json", include=set(HOW)),
        }
        for each in planned
    }
    return {"stages": steps, "config": result_settings(chain.config.model_dump(mode="json", by_alias=True))}


def _describe_generation(step: Step) -> str | None:
    if step.generation is None or not isinstance(step.stage, Search):
        return None
    return f"{step.generation} of {step.stage.generations}"
