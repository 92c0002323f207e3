"""Whether a command line continues a study: whether its trials would compare with those that are there."""

from collections.abc import Iterator, Mapping
from typing import Any

from vbot_train.config import look_up
from vbot_train.search.space import GROUPS

# What a trial's result depends on.
RESULT_KEYS = (*GROUPS, "seed", "init_from", "evaluation", "search.metric", "search.seeds_per_trial")
# How fast a trial runs, on how much of the machine: follows `workers`, which is free.
FREE_KEYS = ("simulation.threads", "training.torch_threads")


def result_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """The values that a trial's result depends on, by dotted key.

    Args:
        config: A composed config, in plain containers.
    """
    values: dict[str, Any] = {}
    for key in RESULT_KEYS:
        values |= dict(_flat(key, look_up(config, key)))
    return {key: value for key, value in values.items() if key not in FREE_KEYS}


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What keeps a study from being continued, a line each; nothing where its trials would compare.

    Args:
        then: The study's record.
        now: The record that this command line would write.
    """
    lines = list(_changes(result_settings(then["config"]), result_settings(now["config"])))
    lines += _changes(then["space"], now["space"])
    lines += _changes(then["constraints"], now["constraints"], "search.constraints.")
    lines += _changes(dict(_flat("", then["options"])), dict(_flat("", now["options"])))
    return lines


def _changes(then: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key in dict.fromkeys([*then, *now]):
        if then.get(key) != now.get(key):
            yield f"  {prefix}{key}: {then.get(key, 'absent')} -> {now.get(key, 'absent')}"


def _flat(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Leaves of nested mappings by dotted key."""
    if not isinstance(value, Mapping) or not value:
        yield key, value
        return
    for name, inner in value.items():
        yield from _flat(f"{key}.{name}" if key else str(name), inner)
