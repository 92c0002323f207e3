"""Recipes, options of the config group ``experiment``, as a hyperparameter: a grid of them compares what each composes.

A recipe may set any key. Trials compare only if recipes differ in nothing but what may be searched.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from vbot_train.config.composition import ConfigError
from vbot_train.config.keys import SEARCHABLE
from vbot_train.training.comparable import list_changes, result_settings

EXPERIMENT = "experiment"  # the config group


def check_recipes(combinations: Iterable[tuple[str, Mapping[str, Any]]], metric: str) -> None:
    """Check that the trials of several recipes will compare.

    Args:
        combinations: Name and composed config of each recipe.
        metric: The metric that ranks them.

    Raises:
        ConfigError: They differ in a key that cannot be searched, or in the reward while the reward ranks them.
    """
    (first, content), *others = combinations
    for name, other in others:
        for key, line in list_changes(result_settings(content), result_settings(other)):
            top = key.split(".")[0]
            if top not in SEARCHABLE:
                raise ConfigError(f"{first} and {name}: differ in {line}; only {', '.join(SEARCHABLE)} may")
            if top == "reward" and metric == "episode_reward_mean":
                raise ConfigError(f"{first} and {name}: differ in {line}, so search.metric={metric} cannot rank them")


def composes_same(one: Mapping[str, Any], other: Mapping[str, Any], but: Collection[str]) -> bool:
    """Check whether two configs train to the same result, apart from the keys and groups ``but``."""
    changes = list_changes(result_settings(one), result_settings(other))
    return all(any(key == each or key.startswith(f"{each}.") for each in but) for key, _ in changes)
