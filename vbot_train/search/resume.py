"""Check whether a command line may continue a study: whether its trials would be comparable."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from vbot_train.config.composition import ConfigError
from vbot_train.search.space.constraints import BUILT_IN
from vbot_train.search.space.distributions import describe
from vbot_train.search.space.space import read_space
from vbot_train.study.record import StudyRecord
from vbot_train.training.comparable import list_changes, result_settings


def trains_to_same_result(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Check whether two composed configs, in plain containers, train to the same result."""
    return not any(list_changes(result_settings(one), result_settings(other)))


def list_option_settings(
    combinations: Iterable[tuple[str, Mapping[str, Any]]], config: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Return the settings of each combination of searched config groups that differ from the composed config.

    Args:
        combinations: Name and composed config of each.
        config: The composed config.
    """
    settings = {name: result_settings(content) for name, content in combinations}
    keys = sorted({key for values in settings.values() for key in values})
    own = result_settings(config)
    varying = [key for key in keys if any(values.get(key) != own.get(key) for values in settings.values())]
    return {name: {key: values.get(key) for key in varying} for name, values in settings.items()}


def refuse_other(directory: Path, then: StudyRecord, now: StudyRecord) -> None:
    """Refuse to continue a study whose trials are not comparable with those of this command line.

    Args:
        directory: The study's directory.
        then: The study's record.
        now: The record that this command line would write.

    Raises:
        ConfigError: Some settings differ; the message lists them, then and now.
    """
    if lines := list_differences(then, now):
        head = f"study={then.study}: was begun with other settings, so its trials would not compare (then -> now)"
        tail = (
            "give those again to continue it, or choose another name;"
            f" search.enqueue='[\"{directory}:all\"]' takes over what was trained already"
        )
        raise ConfigError("\n".join([head, *lines, tail]))


def list_differences(then: StudyRecord, now: StudyRecord) -> list[str]:
    """List the differences that prevent continuing a study, a line each; empty if trials are comparable.

    Args:
        then: The study's record.
        now: The record that this command line would write.
    """
    lines = [f"  {line}" for _, line in list_changes(*map(_describe_ranges, (then, now)))]
    lines += [f"  {line}" for _, line in list_changes(_describe_seeds(then), _describe_seeds(now))]
    lines += [f"  {line}" for _, line in list_changes(_describe_scheduler(then), _describe_scheduler(now))]
    lines += [f"  search.constraints.{line}" for _, line in list_changes(_list_own_rules(then), _list_own_rules(now))]
    for name in then.options.keys() & now.options.keys():
        varying = {*then.options[name], *now.options[name]}
        for key, line in list_changes(_list_settings(then, name), _list_settings(now, name)):
            lines.append(f"  {name}: {line}" if name and key in varying else f"  {line}")
    return list(dict.fromkeys(lines))


def _describe_seeds(record: StudyRecord) -> dict[str, Any]:
    """Return the number of seeds per configuration; earlier versions trained all of them in one trial."""
    together, seeds = record.settings.search.seeds_per_trial, record.seeds_per_configuration
    return {"search.seeds_per_configuration": seeds if together == 1 else f"{together} in one trial"}


def _describe_scheduler(record: StudyRecord) -> dict[str, Any]:
    """Return the scheduler's settings; studies older than schedulers had none."""
    scheduler = record.settings.scheduler
    factor = {"scheduler.reduction_factor": scheduler.reduction_factor} if scheduler.rungs else {}
    return {"scheduler.rungs": scheduler.rungs, **factor}


def _list_own_rules(record: StudyRecord) -> dict[str, str]:
    """Return the study's own rules, without the built-in ones, which only exclude what cannot train."""
    return {name: rule for name, rule in record.constraints.items() if name not in BUILT_IN}


def _describe_ranges(record: StudyRecord) -> dict[str, str]:
    """Return the space of a record in this version's notation."""
    return {key: describe(distribution) for key, distribution in read_space(record.space).items()}


def _list_settings(record: StudyRecord, combination: str) -> dict[str, Any]:
    """Return the settings that all trials of one combination of options share."""
    settings = {**result_settings(record.config), **record.options[combination]}
    return {key: value for key, value in settings.items() if key not in record.space}
