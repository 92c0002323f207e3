"""Refuse a search that cannot run, before anything is opened."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from vbot_train.checks import COUNT, POSITIVE, WHOLE, Bounds, check_values, number_faults
from vbot_train.config import ConfigError, look_up

SEEDS: Bounds = (1, 1000, True, True)  # how many: those of confirming are 1001 to 2000, then come the test's

# Of a search. Those of NULLABLE may be null.
SEARCH_BOUNDS: dict[str, Bounds] = {
    "workers": COUNT,
    "budget_hours": POSITIVE,
    "search.max_trials": COUNT,
    "search.seeds_per_trial": SEEDS,
    "search.retries": WHOLE,
    "search.trial_minutes": POSITIVE,
}
SEARCH_OPTIONS: dict[str, tuple[Any, ...]] = {
    "resume": ("continue", "fork"),
    "search.duplicates": ("replicate", "skip"),
    "search.dry_run": (True, False),
}
NULLABLE = ("workers", "search.max_trials", "search.trial_minutes", "budget_hours")
NO_PRUNER = "optuna.pruners.NopPruner"


def check_search(config: Mapping[str, Any]) -> None:
    """Refuse a search that cannot run.

    Raises:
        ConfigError: With the first fault found.
    """
    check_values(config)
    for fault in _search_faults(config):
        raise ConfigError(fault)


def _search_faults(config: Mapping[str, Any]) -> Iterator[str]:
    if not re.fullmatch(r"\w[\w.-]*", str(config["study"])):
        yield f"study={config['study']}: letters, digits, '_', '.' and '-' make a study's name"
    for key, bounds in SEARCH_BOUNDS.items():
        value = look_up(config, key)
        if (value is not None or key not in NULLABLE) and (key, value) != ("workers", "auto"):
            yield from number_faults(key, value, bounds)
    for key, options in SEARCH_OPTIONS.items():
        if (option := look_up(config, key)) not in options:
            yield f"{key}={option}: choose one of {', '.join(map(str, options))}"
    settings, evaluations = config["search"], config["training"]["evaluations"]
    yield from _stage_faults(settings)
    if not isinstance(settings["enqueue"], list):
        yield f"search.enqueue={settings['enqueue']}: must be a list, as in search.enqueue=[multirun/NAME:3]"
    if not isinstance(settings["around"], str | None):
        yield f"search.around={settings['around']}: must be the directory of a study"
    if config["pruner"]["_target_"] != NO_PRUNER:
        if evaluations < 2:
            yield f"training.evaluations={evaluations}: a pruner needs evaluations before the last one"
        if settings["metric"] == "env_steps_to_success":
            yield "search.metric=env_steps_to_success: a pruner has nothing to go by, it is known at the end only"


def _stage_faults(settings: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with ``search.confirm`` and ``search.test``: each is off, or knows its own keys."""
    for stage, number in (("confirm", "top_k"), ("test", "evaluation_seed")):
        given = settings[stage]
        if given in (None, "none"):
            continue
        if not isinstance(given, Mapping) or given.keys() != {number, "seeds"}:
            yield f"search.{stage}={given}: must be none, or have the keys {number} and seeds"
            continue
        yield from number_faults(f"search.{stage}.{number}", given[number], WHOLE)
        if not isinstance(given["seeds"], list):
            yield from number_faults(f"search.{stage}.seeds", given["seeds"], SEEDS)
            continue
        for seed in given["seeds"]:
            yield from number_faults(f"search.{stage}.seeds", seed, WHOLE)
        if not given["seeds"] or len(set(given["seeds"])) < len(given["seeds"]):
            yield f"search.{stage}.seeds={given['seeds']}: must be a number, or seeds that differ"
