"""Initial points: configurations that are tried before the sampler proposes any."""

import re
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from vbot_train.analysis.ranking import Configuration
from vbot_train.analysis.verdict import Verdict
from vbot_train.config.composition import ConfigError, load_recorded_config, look_up, make_absolute, with_values
from vbot_train.search.space.distributions import find_option_name, list_values
from vbot_train.search.space.proposals import BrokenRules
from vbot_train.search.space.space import OutsideError, Space
from vbot_train.study.accounting import Identity, identify
from vbot_train.study.errors import StudyError
from vbot_train.study.layout import TRIALS
from vbot_train.study.loading import load_study
from vbot_train.study.trials import NAMED, Study, Trial
from vbot_train.training.comparable import is_same, result_settings

TOP = 5  # configurations taken from a study if no number is given
SHOWN = 4  # settings shown that differ from those of the earlier study


@dataclass(frozen=True, slots=True)
class InitialPoint:
    """A configuration to try first, or the reason why it is left out."""

    name: str  # shown to the user
    origin: str  # default, enqueued, or the name of a later stage
    params: dict[str, Any] | None  # None: left out
    reason: str | None = None  # why it is left out
    seed: int | None = None  # its first training seed; None: the search's own
    histories: Mapping[int, Path] = field(default_factory=dict)  # by training seed: directories of its earlier trials


class InitialPoints:
    """Converter of configurations to initial points of a space.

    Args:
        space: The search space.
        config: The composed config, in plain containers.
        choices: The chosen option of each config group.
        broken_rules: Returns the names of the rules that a candidate breaks.
        metric: Metric that ranks the trials of an earlier study.
    """

    def __init__(
        self,
        space: Space,
        config: Mapping[str, Any],
        choices: Mapping[str, str],
        broken_rules: BrokenRules,
        metric: str,
    ) -> None:
        self._space = space
        self._config = config
        self._choices = choices
        self._broken_rules = broken_rules
        self._metric = metric

    def make_default(self) -> InitialPoint:
        """Return the composed configuration as a point."""
        return self._make_point("the default configuration", "default", self._config, self._choices)

    def list_enqueued(self, entries: Sequence[Any]) -> Iterator[InitialPoint]:
        """Yield the points that ``search.enqueue`` lists.

        Raises:
            ConfigError: An entry is neither a list of overrides nor a study.
        """
        for entry in entries:
            if isinstance(entry, Mapping):
                yield self._make_overridden_point(f"search.enqueue={dict(entry)}", entry)
            elif isinstance(entry, str) and "=" in entry:
                yield self._make_overridden_point(f"search.enqueue={entry!r}", _parse(entry))
            elif isinstance(entry, str):
                directory, count = _split_entry(entry)
                yield from self.list_best_of(directory, "search.enqueue", count)
            else:
                raise ConfigError(f"search.enqueue={entry}: give overrides such as 'ppo.rollouts=24', or a study")

    def list_best_of(self, directory: Path, key: str, count: int | None) -> Iterator[InitialPoint]:
        """Yield the best configurations of a study; if ``count`` is None, all that it has trained.

        Raises:
            ConfigError: There is no such study, or none of its trials was completed.
        """
        study = open_earlier(directory, key, self._config["storage"])
        for trials in self._group_trials(study, key, count):
            name = f"trial {trials[0].number} of {directory}"
            try:
                config, choices = read_settings(study, trials[0])
            except ConfigError as error:  # the files of a diverged trial may be gone
                yield InitialPoint(name, "enqueued", None, str(error))
                continue
            point = self._make_point(name, "enqueued", config, choices)
            histories = {seed: path for trial in trials for seed, path in trial.run_directories.items()}
            name = point.name + self._describe_changes(point, config)
            yield replace(point, name=name, histories=histories if key == "search.enqueue" else {})
        yield from list_unreadable(study, "enqueued")

    def _group_trials(self, study: Study, key: str, count: int | None) -> list[list[Trial]]:
        """Return the trials of each configuration to try, the best first."""
        groups = [found.trials for found in list_best_configurations(study, self._metric, key)[:count]]
        if count is not None:
            return groups
        groups += [[trial] for trial in study.trials if trial.result.status == "diverged"]
        is_seed_searched = "seed" in self._space.distributions
        return [[trial] for trials in groups for trial in trials] if is_seed_searched else groups

    def _describe_changes(self, point: InitialPoint, then: Mapping[str, Any]) -> str:
        """Describe the settings that differ from the earlier trial's, as this search does not vary them."""
        if point.params is None:
            return ""
        before, now = result_settings(then), result_settings(self._space.compose_candidate(point.params).config)
        before["seed"] = now["seed"]  # not compared
        other = [f"{key}={value}" for key, value in now.items() if not is_same(before.get(key), value)]
        more = f" and {len(other) - SHOWN} more" if len(other) > SHOWN else ""
        return f", but with {', '.join(other[:SHOWN])}{more}" if other else ""

    def _make_overridden_point(self, name: str, values: Mapping[str, Any]) -> InitialPoint:
        """Return the composed configuration with a few values changed."""
        config, choices = self._config, dict(self._choices)
        for key, given in values.items():
            value = make_absolute(given) if key == "init_from" else given
            if key in self._space.groups:
                choices[key] = find_option_name(value, list_values(self._space.distributions[key]) or ())
            elif key in self._space.distributions or self._is_fixed_at(key, value):
                config = with_values(config, {key: value})
            else:
                return InitialPoint(
                    name, "enqueued", None, f"{key}={value} lies outside the space, which does not vary {key}"
                )
        return self._make_point(name, "enqueued", config, choices)

    def _is_fixed_at(self, key: str, value: Any) -> bool:
        try:
            if key in self._choices:
                return self._choices[key] == find_option_name(value, [self._choices[key]])
            return is_same(look_up(self._config, key), value)
        except KeyError:
            raise ConfigError(f"search.enqueue: {key}={value}: no such key") from None

    def _make_point(
        self, name: str, origin: str, config: Mapping[str, Any], choices: Mapping[str, str]
    ) -> InitialPoint:
        try:
            params = self._space.point(config, choices)
        except OutsideError as error:
            return InitialPoint(name, origin, None, str(error))
        if rules := self._broken_rules(self._space.compose_candidate(params)):
            return InitialPoint(name, origin, None, f"it breaks the rule {rules[0]}")
        return InitialPoint(name, origin, params)


def drop_repeats(points: Sequence[InitialPoint]) -> list[InitialPoint]:
    """Return the points without repeats, each with all the results that may be taken over for it."""
    kept: dict[Identity | int, InitialPoint] = {}
    for place, point in enumerate(points):
        key = place if point.params is None else identify(point.params)
        if key in kept:
            kept[key] = replace(kept[key], histories={**kept[key].histories, **point.histories})
        else:
            kept[key] = point
    return list(kept.values())


def open_earlier(directory: Path, key: str, storage: str | None) -> Study:
    """Load an earlier study that a config key names.

    Args:
        directory: The study's directory.
        key: The config key.
        storage: URL from the command line: it has the password if the earlier study is in the same storage.

    Raises:
        ConfigError: There is no study, or it cannot be read.
    """
    try:
        return load_study(directory, storage)
    except StudyError as error:
        raise ConfigError(f"{key}={directory}: {error}") from error


def list_best_configurations(study: Study, metric: str, key: str) -> list[Configuration]:
    """Return the configurations of an earlier study that have a value, best first; finalists by confirmed values.

    Raises:
        ConfigError: There is none, or the metric depends on searched rewards.
    """
    if metric == "episode_reward_mean" and any(name.split(".")[0] == "reward" for name in study.record.space):
        raise ConfigError(
            f"{key}={study.directory}: its trials differ in the rewards that search.metric={metric} sums up"
        )
    found = Verdict(study, metric).best_first
    if not found:
        raise ConfigError(f"{key}={study.directory}: this study has no completed trial")
    return found


def list_unreadable(study: Study, origin: str) -> Iterator[InitialPoint]:
    """Yield the trials of an earlier study that do not count, with the reason."""
    gone = [trial for trial in study.left_out if trial.stage == TRIALS]
    for trial in gone[:NAMED]:
        yield InitialPoint(f"trial {trial.number} of {study.directory}", origin, None, trial.reason)
    if more := gone[NAMED:]:
        yield InitialPoint(f"{len(more)} more trials of {study.directory}", origin, None, "they do not count either")


def read_settings(study: Study, trial: Trial) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the config that a trial was trained on, and its option of each config group."""
    groups = study.record.groups
    choices = groups | {key: value for key, value in trial.params.items() if key in groups}
    return load_recorded_config(trial.directory), choices


def _split_entry(entry: str) -> tuple[Path, int | None]:
    """Split an entry into a study's directory and the number of its best to take, None for all.

    Drives and directory names may contain colons: only a number or ``all`` after the last one is the number.
    """
    directory, colon, count = entry.rpartition(":")
    if colon and count == "all":
        return Path(directory), None
    if colon and re.fullmatch(r"[0-9]+", count):
        return Path(directory), int(count)
    return Path(entry), TOP


def _parse(entry: str) -> dict[str, Any]:
    parser = OverridesParser.create()
    try:
        overrides = parser.parse_overrides(_split(entry))
    except (HydraException, ValueError) as error:
        raise ConfigError(f"search.enqueue={entry}: {str(error).splitlines()[0]}") from error
    if any(override.is_sweep_override() for override in overrides):
        raise ConfigError(f"search.enqueue={entry}: one value for each key")
    return {override.get_key_element(): override.value() for override in overrides}


def _split(entry: str) -> list[str]:
    """Split a text into overrides, quoted as in a shell; on Windows a backslash separates directories."""
    words = shlex.shlex(entry, posix=True)
    words.whitespace_split, words.commenters = True, ""
    if sys.platform == "win32":
        words.escape = ""
    return list(words)
