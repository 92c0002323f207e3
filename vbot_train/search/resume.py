"""Whether a command line continues a study: whether its trials would compare with those that are there."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from vbot_train.config import look_up
from vbot_train.search.space import GROUPS, THREAD_KEYS

# What a trial's result depends on.
RESULT_KEYS = (*GROUPS, "seed", "init_from", "evaluation", "search.metric", "search.seeds_per_trial")


def result_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """The values that a trial's result depends on, by dotted key.

    Args:
        config: A composed config, in plain containers.
    """
    values: dict[str, Any] = {}
    for key in RESULT_KEYS:
        values |= dict(_flat(key, look_up(config, key)))
    return {key: value for key, value in values.items() if key not in THREAD_KEYS}  # they follow `workers`


def option_settings(combinations: Iterable[tuple[str, Mapping[str, Any]]]) -> dict[str, dict[str, Any]]:
    """What the combinations of searched config groups do not have in common, by combination and dotted key."""
    settings = {name: result_settings(content) for name, content in combinations}
    keys = {key for values in settings.values() for key in values}
    varying = [key for key in keys if len({repr(values.get(key)) for values in settings.values()}) > 1]
    return {name: {key: values.get(key) for key in sorted(varying)} for name, values in settings.items()}


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What keeps a study from being continued, a line each; nothing where its trials would compare.

    Args:
        then: The study's record.
        now: The record that this command line would write.
    """
    lines = list(_changes(then["space"], now["space"]))
    lines += _changes(then["constraints"], now["constraints"], "search.constraints.")
    lines += _changes(_fixed_settings(then), _fixed_settings(now))
    for name in then["options"].keys() & now["options"].keys():
        lines += _changes(then["options"][name], now["options"][name], f"{name}: ")
    return lines


def _fixed_settings(record: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that all trials have in common: neither searched, nor brought by a searched option."""
    varying = {*record["space"], *(key for values in record["options"].values() for key in values)}
    return {key: value for key, value in result_settings(record["config"]).items() if key not in varying}


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
