"""Checks of a search's settings, before any study is opened."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from vbot_train.config.bounds import SEED, SEEDS, WHOLE, find_number_faults
from vbot_train.config.checks import check_values, refuse
from vbot_train.config.composition import GROUPS

NO_PRUNER = "optuna.pruners.NopPruner"


def check_search(config: Mapping[str, Any]) -> None:
    """Refuse a search that cannot run.

    Raises:
        ConfigError: With the first fault found.
    """
    check_values(config)
    check_settings(config)
    refuse(_find_pruning_faults(config))


def check_choices(choices: Mapping[str, str]) -> None:
    """Check that each config group has one option: Hydra records no choice for a list of options.

    Args:
        choices: The chosen option of each config group.

    Raises:
        ConfigError: A group has no single option; the message names the first.
    """
    refuse(f"{group}: must be one option of conf/{group}/, no list of them" for group in GROUPS if group not in choices)


def check_settings(config: Mapping[str, Any]) -> None:
    """Refuse invalid search settings; a single run uses none of them, but refuses them too.

    Raises:
        ConfigError: With the first fault found.
    """
    refuse(_find_settings_faults(config))
    if config["pruner"] != {"_target_": NO_PRUNER}:
        from vbot_train.search.space.samplers import build_pruner  # late: a single run needs no Optuna

        build_pruner(config["pruner"])


def _find_settings_faults(config: Mapping[str, Any]) -> Iterator[str]:
    settings = config["search"]
    if settings["name"] is None or not re.fullmatch(r"\w[\w.-]*", str(settings["name"])):
        yield f"search.name={settings['name']}: must be a name, of letters, digits, '_', '.' and '-'"
    if not isinstance(config["storage"], str | None):
        yield "storage: must be a SQLAlchemy URL"  # without the value: it may hold a password
    yield from _find_stage_faults(settings)
    if not isinstance(settings["enqueue"], list):
        yield f"search.enqueue={settings['enqueue']}: must be a list, as in search.enqueue=[multirun/NAME:3]"
    if not isinstance(settings["around"], str | None):
        yield f"search.around={settings['around']}: must be the directory of a study"


def _find_stage_faults(settings: Mapping[str, Any]) -> Iterator[str]:
    """Yield the faults of ``search.confirm`` and ``search.test``; each is off or a mapping with its own keys."""
    for stage, number, bounds in (("confirm", "top_k", WHOLE), ("test", "evaluation_seed", SEED)):
        given = settings[stage]
        if given in (None, "none"):
            continue
        if not isinstance(given, Mapping):
            yield f"search.{stage}={given}: must be none, or have the keys {number} and seeds"
            continue
        yield from find_number_faults(f"search.{stage}.{number}", given[number], bounds)
        if not isinstance(given["seeds"], list):
            yield from find_number_faults(f"search.{stage}.seeds", given["seeds"], SEEDS)
            continue
        for seed in given["seeds"]:
            yield from find_number_faults(f"search.{stage}.seeds", seed, SEED)
        if not given["seeds"] or len(set(given["seeds"])) < len(given["seeds"]):
            yield f"search.{stage}.seeds={given['seeds']}: must be a number, or seeds that differ"


def _find_pruning_faults(config: Mapping[str, Any]) -> Iterator[str]:
    if config["pruner"]["_target_"] == NO_PRUNER:
        return
    if (evaluations := config["training"]["evaluations"]) < 2:
        yield f"training.evaluations={evaluations}: a pruner needs evaluations before the last one"
    if config["search"]["metric"] == "env_steps_to_success":
        yield "search.metric=env_steps_to_success: a pruner has nothing to go by, it is known at the end only"
