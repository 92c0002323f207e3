"""Whether two configurations train to the same result: what a search and a training that is continued compare."""

import math
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from vbot_train.config.composition import (
    GROUPS,
    ConfigError,
    join_lines,
    load_recorded_config,
    look_up,
    with_absolute_paths,
    with_randomization,
)

# What a trial's result depends on.
RESULT_KEYS = (*GROUPS, "seed", "init_from", "evaluation", "search.metric")
# How many threads a trial runs on; null leaves it open. Two beside a busy neighbour cost a factor of ten.
THREAD_KEYS = ("simulation.threads", "training.torch_threads")
HARDWARE_KEYS = (*THREAD_KEYS, "simulation.device")  # of those groups, but they choose hardware, not results


def result_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """The values that a trial's result depends on, by dotted key.

    Args:
        config: A composed config, in plain containers.
    """
    values: dict[str, Any] = {}
    config = with_absolute_paths(with_randomization(config))  # earlier versions recorded relative ones
    for key in RESULT_KEYS:
        with suppress(KeyError):  # another version of the code may not know it: then it is absent
            values |= dict(_flat(key, look_up(config, key)))
    values.setdefault("simulation.backend", "mujoco")  # a study that was begun before there was a choice
    return {key: value for key, value in values.items() if key not in HARDWARE_KEYS}


def list_changes(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Each key whose value differs, and a line that tells it."""
    for key in dict.fromkeys([*then, *now]):
        if not is_same(then.get(key), now.get(key)):
            yield key, f"{key}: {then.get(key, 'absent')} -> {now.get(key, 'absent')}"


def is_same(one: Any, other: Any) -> bool:
    """Whether two values are equal; floats are so but for rounding, for some were computed."""
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12)
    return bool(one == other)


def refuse_other_config(where: str, then: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuse to continue a training with a configuration that would have trained to another result.

    Args:
        where: The training is, as the message begins.
        then: The config that it was begun with, in plain containers.
        now: The config that is to go on.

    Raises:
        ConfigError: With the first key that differs, then and now.
    """
    first = next(list_changes(result_settings(then), result_settings(now)), None)
    if first is not None:
        line = f"{where}: holds a training with another configuration (then -> now): {first[1]}"
        raise ConfigError(join_lines(f"{line}; give the same one to continue it, or another directory"))


def refuse_other_record(run_dir: Path, config: Mapping[str, Any]) -> None:
    """The same for a run directory, by its record of the config; one that cannot be read says nothing.

    Raises:
        ConfigError: With the first key that differs, then and now.
    """
    try:
        then = load_recorded_config(run_dir)
    except ConfigError:
        return
    refuse_other_config(f"hydra.run.dir={run_dir}", then, config)


def _flat(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Leaves of nested mappings by dotted key."""
    if not isinstance(value, Mapping) or not value:
        yield key, value
        return
    for name, inner in value.items():
        yield from _flat(f"{key}.{name}" if key else str(name), inner)
