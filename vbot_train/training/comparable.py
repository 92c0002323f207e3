"""Check whether two configurations lead to the same result, for searches and for resumed training runs."""

import math
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from vbot_train.config.composition import (
    ConfigError,
    join_lines,
    load_recorded_config,
    look_up,
    with_absolute_paths,
    with_randomization,
)
from vbot_train.config.gone_keys import WITHOUT_EFFECT
from vbot_train.config.keys import HARDWARE_KEYS, RESULT_KEYS

# Values of studies from before these keys existed.
OLDER_DEFAULTS = {"simulation.backend": "mujoco", "env.task": "navigation", "training.stop_at_success": None}


def result_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that a trial's result depends on, by dotted key.

    Args:
        config: A composed config, in plain containers.
    """
    values: dict[str, Any] = {}
    config = with_absolute_paths(with_randomization(config))  # earlier versions recorded relative paths
    for key in RESULT_KEYS:
        with suppress(KeyError):  # a config of another version may lack the key
            values |= dict(flatten(key, look_up(config, key)))
    values = OLDER_DEFAULTS | values
    return {key: value for key, value in values.items() if key not in (*HARDWARE_KEYS, *WITHOUT_EFFECT)}


def list_changes(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield each key whose value differs, with a one-line description of the change."""
    for key in dict.fromkeys([*then, *now]):
        if not is_same(then.get(key), now.get(key)):
            yield key, f"{key}: {then.get(key, 'absent')} -> {now.get(key, 'absent')}"


def is_same(one: Any, other: Any) -> bool:
    """Check whether two values are equal. Floats are compared with a tolerance, because some were computed."""
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12)
    return bool(one == other)


def refuse_other_config(where: str, then: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Raise an error if resuming a training run with this configuration would change its result.

    Args:
        where: Location of the training run; the error message begins with it.
        then: The config that the run was started with, in plain containers.
        now: The config to resume it with.

    Raises:
        ConfigError: Names the first key that differs, with both values.
    """
    first = next(list_changes(result_settings(then), result_settings(now)), None)
    if first is not None:
        line = f"{where}: holds a training with another configuration (then -> now): {first[1]}"
        raise ConfigError(join_lines(f"{line}; give the same one to continue it, or another directory"))


def refuse_other_record(run_dir: Path, config: Mapping[str, Any]) -> None:
    """Raise the same error for a run directory, using its recorded config; skip the check if that cannot be read.

    Raises:
        ConfigError: Names the first key that differs, with both values.
    """
    try:
        then = load_recorded_config(run_dir)
    except ConfigError:
        return
    refuse_other_config(f"hydra.run.dir={run_dir}", then, config)


def flatten(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the leaves of nested mappings, by dotted key."""
    if not isinstance(value, Mapping) or not value:
        yield key, value
        return
    for name, inner in value.items():
        yield from flatten(f"{key}.{name}" if key else str(name), inner)
