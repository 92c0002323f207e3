"""Search space, in Hydra's own sweep grammar, and the configuration of each of its points."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from optuna.distributions import BaseDistribution, CategoricalDistribution

from vbot_train.config.composition import (
    CONF_DIR,
    CONFIG_NAME,
    ConfigError,
    is_composed_from_ours,
    look_up,
    make_absolute,
    read_choices,
    to_plain,
)
from vbot_train.config.explanation import suggest_key
from vbot_train.config.keys import GROUPS, SEARCHABLE, THREAD_KEYS
from vbot_train.config.schema import Config
from vbot_train.config.validation import validate_config
from vbot_train.search.space.distributions import (
    count_values,
    describe,
    find,
    list_values,
    parse,
    parse_distribution,
    to_text,
    update_description,
)
from vbot_train.search.space.recipes import EXPERIMENT, check_recipes, composes_same
from vbot_train.study.steps import correct_params
from vbot_train.study.storage_url import SECRET_KEYS

Params = Mapping[str, Any]

SCHEDULE_KEY = "ppo.learning_rate_schedule"
LARGEST_GRID = 10_000  # cells; each is composed and checked before the first trial, in about 10 ms


class OutsideError(ValueError):
    """Configuration outside a space; the message says why."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One point of the space, with its composed configuration."""

    params: dict[str, Any]  # by key, as Optuna stores them
    config: dict[str, Any]  # in plain containers, interpolations resolved
    choices: dict[str, str]  # chosen option of each config group
    base: dict[str, Any]  # composed from conf/'s own options of GROUPS alone, unresolved; empty with another conf/
    overrides: list[str]  # those that compose it

    def validate(self) -> Config:
        """Return its configuration as typed values.

        Raises:
            ConfigError: A value is invalid.
        """
        return validate_config(self.config)


@dataclass(frozen=True, slots=True)
class Composed:
    """One combination of config group options, composed from conf/ when the search began."""

    config: DictConfig  # with the command line's overrides; searched values are set in it
    content: dict[str, Any]  # the same before that, in plain containers
    choices: dict[str, str]  # chosen option of each config group
    base: dict[str, Any]  # composed from conf/'s own options of GROUPS alone, unresolved; empty with another conf/


def split_overrides(
    params: Mapping[str, Any], arguments: Sequence[str], loader: ConfigLoader | None = None
) -> tuple[dict[str, BaseDistribution], list[str]]:
    """Separate what varies from what is fixed.

    Args:
        params: ``hydra.sweeper.params`` of the preset: sweep expressions by key.
        arguments: Overrides of the command line; they win over the preset, and a plain value fixes its key.
        loader: Knows the options of config groups; a record, where each is an unquoted or quoted word, needs none.

    Returns:
        The distribution of each key that varies, and the overrides that hold for every trial.

    Raises:
        ConfigError: A range is empty, too long or invalid.
    """
    parser = OverridesParser.create(loader)
    distributions: dict[str, BaseDistribution] = {}
    fixed = []
    for override in parser.parse_overrides([f"{key}={value}" for key, value in params.items()]):
        distributions[override.get_key_element()] = _find_distribution(override)
    for line, override in zip(arguments, parser.parse_overrides(list(arguments)), strict=True):
        key = override.get_key_element()
        if not override.is_delete() and override.is_sweep_override():
            distributions.pop(key, None)
            distributions[key] = _find_distribution(override)
        else:
            distributions.pop(key.lstrip("+"), None)
            if key.lstrip("+") not in SECRET_KEYS:
                fixed.append(line)
    return distributions, fixed


def _find_distribution(override: Override) -> BaseDistribution:
    """Parse an override's distribution; paths of ``init_from`` are relative to the directory it was typed in."""
    found = parse_distribution(override)
    if override.get_key_element() != "init_from" or not isinstance(found, CategoricalDistribution):
        return found
    return CategoricalDistribution([make_absolute(choice) for choice in found.choices])


def read_space(texts: Mapping[str, str]) -> dict[str, BaseDistribution]:
    """Read the distributions of a study's record, by key."""
    return split_overrides({key: update_description(text) for key, text in texts.items()}, [])[0]


def is_shipped(group: str, option: str | None) -> bool:
    """Check whether conf/ contains this option of a config group; other options are the user's own."""
    return option is not None and (CONF_DIR / group / f"{option}.yaml").is_file()


class Space:
    """The search space of one study.

    Every combination of config group options is composed once, at the start: later edits under ``conf/`` have no
    effect, and an option or key that does not exist is refused before the first trial.

    Args:
        distributions: By key; a key is a dotted config key or the name of a config group.
        fixed: Overrides that hold for every trial.
        config: The composed config of the search.
        loader: Composes configs.

    Raises:
        ConfigError: A key does not exist, or must not vary.
    """

    def __init__(
        self,
        distributions: dict[str, BaseDistribution],
        fixed: list[str],
        config: DictConfig,
        loader: ConfigLoader,
    ) -> None:
        self.distributions = distributions
        self.fixed = fixed
        self.seed = int(config.seed)
        choices = read_choices(config)
        self.groups = [key for key in distributions if key in choices]
        for key in distributions:
            self._check_searchable(key, config)
        self._composed: dict[tuple[Any, ...], Composed] = {}
        for options in itertools.product(*(self._list_options(group) for group in self.groups)):
            overrides = [f"{group}={to_text(option)}" for group, option in zip(self.groups, options, strict=True)]
            self._composed[options] = self._compose(overrides, config, loader)
        self._default = self._compose([], config, loader)
        self._check_keys()
        if EXPERIMENT in self.groups:
            check_recipes(self.list_combinations(), config.search.metric)
        self._check_options_differ()
        self._check_schedule()

    def _compose(self, options: list[str], config: DictConfig, loader: ConfigLoader) -> Composed:
        composed = loader.load_sweep_config(config, [*self.fixed, *options])
        chosen = read_choices(composed)
        groups = [f"{group}={chosen[group]}" if is_shipped(group, chosen[group]) else f"~{group}" for group in GROUPS]
        is_ours = is_composed_from_ours(config)
        base = loader.load_configuration(CONFIG_NAME, groups, run_mode=RunMode.RUN) if is_ours else OmegaConf.create()
        with open_dict(composed):
            composed.pop("hydra")
            composed.storage = None
            composed.init_from = make_absolute(composed.init_from)
        return Composed(composed, to_plain(composed), chosen, to_plain(base, resolve=False))

    def _check_searchable(self, key: str, config: DictConfig) -> None:
        top, metric = key.split(".")[0], config.search.metric
        if top not in SEARCHABLE and key != EXPERIMENT:
            values = describe(self.distributions[key])
            raise ConfigError(f"{key}={values}: cannot be searched, only {', '.join(SEARCHABLE)} can")
        if top == "reward" and metric == "episode_reward_mean":
            raise ConfigError(f"{key}: rewards cannot be searched with search.metric={metric}, which they define")

    def _list_options(self, group: str) -> Sequence[Any]:
        distribution = self.distributions[group]
        if not isinstance(distribution, CategoricalDistribution):
            raise ConfigError(f"{group}: a config group takes choice(OPTION, ...)")
        return distribution.choices

    def _check_keys(self) -> None:
        for composed in self._composed.values():
            for key in self.distributions.keys() - set(self.groups):
                try:
                    look_up(composed.content, key)
                except KeyError:
                    raise ConfigError(f"{key}: no such key to search; {suggest_key(key)}") from None

    def _check_options_differ(self) -> None:
        """Check that no two combinations are equal: fixed or searched keys below a group may override its options."""
        seen: list[tuple[dict[str, Any], str]] = []
        for name, content in self.list_combinations():
            rest = OmegaConf.create({group: content[group] for group in GROUPS})
            for key in self.distributions.keys() - set(self.groups):
                if key.split(".")[0] in GROUPS:
                    OmegaConf.update(rest, key, None)
            settings = to_plain(rest)  # 1 equals 1.0
            if other := next((other for before, other in seen if before == settings), None):
                raise ConfigError(f"{other} and {name}: are the same configuration, with what else is set or searched")
            seen.append((settings, name))

    def _check_schedule(self) -> None:
        """Refuse to search the learning rate under the kl schedule, where it is only the initial value."""
        searched = self.distributions.get(SCHEDULE_KEY)
        schedules = [look_up(composed.content, SCHEDULE_KEY) for composed in self._composed.values()]
        may_be_kl = "kl" in schedules or (searched is not None and find(searched, "kl"))
        if may_be_kl and "ppo.learning_rate" in self.distributions:
            raise ConfigError(f"{SCHEDULE_KEY}=kl: cannot be used where ppo.learning_rate is searched")

    def compose_candidate(self, params: Params, seed: int | None = None, *, shared: bool = False) -> Candidate:
        """Compose the configuration of a point.

        Args:
            params: The point.
            seed: Training seed, in place of the composed one.
            shared: Whether it will share the machine; if so, thread counts that the config leaves open are 1.
        """
        composed = self._composed[tuple(params[group] for group in self.groups)]
        return self._build_candidate(composed, correct_params(params, self.distributions), seed, shared=shared)

    def compose_default(self, seed: int | None = None, *, shared: bool = False) -> Candidate:
        """Compose the default configuration, which need not be a point of the space; arguments as in ``candidate``."""
        return self._build_candidate(self._default, {}, seed, shared=shared)

    def _build_candidate(self, composed: Composed, params: Params, seed: int | None, *, shared: bool) -> Candidate:
        open_keys = [key for key in THREAD_KEYS if look_up(composed.content, key) is None]
        threads = dict.fromkeys(open_keys, 1 if shared else None)
        values = {"seed": self.seed if seed is None else seed, **threads, **params}
        keys = [key for key in values if key not in self.groups]
        for key in keys:
            OmegaConf.update(composed.config, key, parse(values[key]))
        given = {key: values[key] for key in keys if look_up(composed.content, key) != values[key]}
        overrides = [f"{key}={to_text(value)}" for key, value in {**params, **given}.items()]
        config = to_plain(composed.config)
        return Candidate(dict(params), config, composed.choices, composed.base, [*self.fixed, *overrides])

    def list_combinations(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield each combination of searched config group options: its name and its composed config."""
        for options, composed in self._composed.items():
            name = " ".join(f"{group}={to_text(option)}" for group, option in zip(self.groups, options, strict=True))
            yield name, composed.content

    def list_cells(self) -> Iterator[dict[str, Any]]:
        """Yield every point of a grid, the last key varying fastest.

        Raises:
            ConfigError: A range cannot be listed, or there are too many cells.
        """
        self._check_grid()
        columns = [list_values(distribution) or () for distribution in self.distributions.values()]
        for row in itertools.product(*columns):
            yield dict(zip(self.distributions, row, strict=True))

    def _check_grid(self) -> None:
        counts = {}
        for key, distribution in self.distributions.items():
            count = count_values(distribution)
            if count is None:
                raise ConfigError(f"{key}: a grid needs choice(...) or range(...), not an interval; or method=random")
            counts[key] = count
        if (cells := math.prod(counts.values())) > LARGEST_GRID:
            key = max(counts, key=lambda key: counts[key])
            what = f"a grid of {cells:,} cells, more than {LARGEST_GRID:,}; take larger steps, or method=random"
            raise ConfigError(f"{key}={describe(self.distributions[key])}: {what}")

    def point(self, config: Mapping[str, Any], choices: Mapping[str, str], *, but: str | None = None) -> dict[str, Any]:
        """Convert a composed configuration to a point of the space, without the key ``but``.

        Raises:
            OutsideError: The space does not contain it.
        """
        params = {}
        for key, distribution in self.distributions.items():
            if key == but:
                continue
            try:
                if key == EXPERIMENT:  # a recipe is known by what it composes, not by its name
                    value = self._find_recipe(config)
                else:
                    value = choices[key] if key in self.groups else look_up(config, key)
            except KeyError:
                raise OutsideError(f"it has no {key}") from None
            if not (found := find(distribution, value)):
                raise OutsideError(f"{key}={value} lies outside {describe(distribution)}")
            params[key] = found[0]
        return params

    def _find_recipe(self, config: Mapping[str, Any]) -> Any:
        """Return the recipe that composes a config, apart from what is searched beside it.

        Raises:
            KeyError: None does.
        """
        beside = [key for key in self.distributions if key != EXPERIMENT]
        for options, composed in self._composed.items():
            if composes_same(composed.content, config, beside):
                return options[self.groups.index(EXPERIMENT)]
        raise KeyError(EXPERIMENT)

    def describe(self) -> dict[str, str]:
        """Return each key's range, in Hydra's grammar."""
        return {key: describe(distribution) for key, distribution in self.distributions.items()}
