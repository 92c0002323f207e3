"""Checks of a search's settings, before any study is opened."""

from collections.abc import Iterator, Mapping
from typing import Any

from vbot_train.config.checks import check_values
from vbot_train.config.keys import GROUPS
from vbot_train.config.schema import Config, Pruner
from vbot_train.config.validation import refuse

NO_PRUNER = Pruner(_target_="optuna.pruners.NopPruner")


def check_search(config: Mapping[str, Any]) -> Config:
    """Return the typed config, if a search can run with it.

    Raises:
        ConfigError: With the first fault found.
    """
    checked = check_values(config)
    check_pruner(checked.pruner)
    refuse(_find_pruning_faults(checked))
    return checked


def check_choices(choices: Mapping[str, str]) -> None:
    """Check that each config group has one option: Hydra records no choice for a list of options.

    Args:
        choices: The chosen option of each config group.

    Raises:
        ConfigError: A group has no single option; the message names the first.
    """
    missing = (group for group in GROUPS if group not in choices)
    refuse(f"{group}: must be one option of conf/{group}/, no list and not nothing" for group in missing)


def check_pruner(pruner: Pruner) -> None:
    """Refuse a pruner that cannot be built; a single run has none, but refuses it too.

    Raises:
        ConfigError: Its settings make no pruner.
    """
    if pruner != NO_PRUNER:
        from vbot_train.search.space.samplers import build_pruner  # late: a single run needs no Optuna

        build_pruner(pruner)


def _find_pruning_faults(config: Config) -> Iterator[str]:
    if config.pruner == NO_PRUNER:
        return
    if (evaluations := config.training.evaluations) < 2:
        yield f"training.evaluations={evaluations}: a pruner needs evaluations before the last one"
    if config.search.metric == "env_steps_to_success":
        yield "search.metric=env_steps_to_success: a pruner has nothing to go by, it is known at the end only"
