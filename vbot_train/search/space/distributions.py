"""Optuna distributions: their values, and their form in Hydra's override grammar."""

import functools
import math
import re
from collections.abc import Iterable, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString, RangeSweep, Transformer
from hydra.errors import HydraException
from hydra_plugins.hydra_optuna_sweeper._impl import create_optuna_distribution_from_override
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from vbot_train.config.composition import ConfigError
from vbot_train.study.steps import compute_step, count_steps, find_step
from vbot_train.training.comparable import is_same

MOST_LISTED = 100_000  # maximum values of a listed range; Optuna checks float steps to 1e-8 of a step


def parse(value: Any) -> Any:
    """Return the value of a choice: a list or dict is stored as Hydra's text, everything else as it is."""
    if not isinstance(value, str) or not value.startswith(("[", "{")):
        return value
    try:
        return _parse_text(value)
    except HydraException:  # an ordinary string
        return value


@functools.cache
def _parse_text(text: str) -> Any:
    return OverridesParser.create().parse_override(f"value={text}").value()


def to_text(value: Any) -> str:
    """Return a choice in Hydra's grammar."""
    if isinstance(value, str):
        is_list = not isinstance(parse(value), str)
        return value if is_list or _parse_as(value, value) else QuotedString(value, Quote.single).with_quotes()
    return "null" if value is None else str(value)


def _parse_as(text: str, value: Any) -> bool:
    """Check whether Hydra's grammar reads a text as this value; it reads 256 as a number, not as a string."""
    try:
        return repr(_parse_text(text)) == repr(value)
    except HydraException:
        return False


def parse_distribution(override: Override) -> BaseDistribution:
    """Return the distribution of an override; a single value gives a distribution of one choice.

    Raises:
        ConfigError: The range is empty, too long or invalid.
    """
    line = override.input_line
    if override.is_choice_sweep() or not override.is_sweep_override():
        if not (choices := _list_choices(override)):
            raise ConfigError(f"{line}: there is no such option")
        return CategoricalDistribution(_drop_duplicates(choices))
    try:
        _check_length(override)
        distribution = create_optuna_distribution_from_override(override)
    except (ValueError, NotImplementedError, AssertionError, OverflowError) as error:  # errors in the user's input
        raise ConfigError(f"{line}: {error}") from error
    if isinstance(distribution, CategoricalDistribution):  # a range that was cast or shuffled
        return CategoricalDistribution(_drop_duplicates(distribution.choices))
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    if isinstance(distribution, FloatDistribution) and not math.isfinite(distribution.high - distribution.low):
        raise ConfigError(f"{line}: the range must be finite")
    return distribution


def _list_choices(override: Override) -> list[Any]:
    """List the values of an override, or its single value. For a config group, each is an option's name."""
    elements = override.sweep_iterator() if override.is_sweep_override() else [override.value()]
    choices = [_format_choice(element) for element in elements]
    loader = override.config_loader
    options = loader.get_group_options(override.key_or_group) if loader else []
    return [find_option_name(choice, options) for choice in choices] if options else choices


def _drop_duplicates(choices: Iterable[Any]) -> list[Any]:
    """Return the choices without repeats; 8 and 8.0 are the same."""
    found: dict[Any, Any] = {}
    for choice in choices:
        value = parse(choice)
        found.setdefault((isinstance(value, bool), str(value) if isinstance(value, list | dict) else value), choice)
    return list(found.values())


def _check_length(override: Override) -> None:
    """Refuse a range that is too long to be listed, unless it is a plain integer range."""
    sweep = override.value()
    if not isinstance(sweep, RangeSweep) or not sweep.step:
        return
    values = sweep.range()
    if isinstance(values, range) and not sweep.shuffle and not sweep.transformers:
        return
    if not all(map(math.isfinite, (values.start, values.stop, values.step))):
        raise ValueError("the range must be finite")
    steps = math.ceil((Fraction(values.stop) - Fraction(values.start)) / Fraction(values.step))
    if steps > MOST_LISTED:
        raise ValueError(f"{steps:,} steps, more than {MOST_LISTED:,}; an interval(...) has none")


def _format_choice(element: Any) -> Any:
    """Convert an element of a sweep to a value that Optuna can store."""
    if isinstance(element, QuotedString):
        return element.text
    return Transformer.str(element) if isinstance(element, list | dict) else element


def find_option_name(value: Any, options: Iterable[str]) -> str:
    """Return the config group option that a value names; ``256``, ``1e3`` and ``null`` are names there."""
    if isinstance(value, str):
        return value
    return next((option for option in options if _parse_as(option, value)), to_text(value))


def find(distribution: BaseDistribution, value: Any) -> list[Any]:
    """Return the value as the distribution stores it, in a list that is empty if it is not contained."""
    if isinstance(distribution, CategoricalDistribution):
        return [choice for choice in distribution.choices if is_same(parse(choice), value)]
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    if not isinstance(value, int | float):
        return []
    if isinstance(distribution, FloatDistribution) and distribution.step is not None:
        step = find_step(distribution, value)
        return [] if step is None else [step]
    if not distribution.low <= value <= distribution.high:
        return []
    if isinstance(distribution, IntDistribution):
        return [int(value)] if (value - distribution.low) % distribution.step == 0 else []
    return [value]


def count_values(distribution: BaseDistribution) -> int | None:
    """Count a distribution's values without listing them; None for a continuous or logarithmic range."""
    match distribution:
        case CategoricalDistribution(choices=choices):
            return len(choices)
        case IntDistribution(low=low, high=high, step=step, log=False):
            return (high - low) // step + 1
        case FloatDistribution(step=float()):
            return count_steps(distribution)
    return None


def list_values(distribution: BaseDistribution | None) -> Sequence[Any] | None:
    """List all values of a distribution; None for a continuous or logarithmic range."""
    match distribution:
        case CategoricalDistribution(choices=choices):
            return list(choices)
        case IntDistribution(low=low, high=high, step=step, log=False):
            return range(low, high + 1, step)
        case FloatDistribution(step=float()):
            return [compute_step(distribution, number) for number in range(count_steps(distribution))]
    return None


def list_ends(distribution: BaseDistribution) -> list[Any]:
    """List a range's two ends, or all choices. An interval may begin at 0 where only positive values are valid."""
    match distribution:
        case CategoricalDistribution(choices=choices):
            return list(choices)
        case FloatDistribution(low=low, high=high, step=None):
            return [math.nextafter(low, high), high]
        case IntDistribution(low=low, high=high) | FloatDistribution(low=low, high=high):
            return [low, high]
    raise TypeError(distribution)


def describe(distribution: BaseDistribution) -> str:
    """Return a distribution in Hydra's grammar, which parses to the same distribution."""
    match distribution:
        case CategoricalDistribution(choices=choices):
            listed = ", ".join(map(to_text, choices))
            return listed if None in choices else f"choice({listed})"  # choice() accepts no null
        case FloatDistribution(low=low, high=high, step=None, log=log):
            return f"tag(log, interval({low!r}, {high!r}))" if log else f"interval({low!r}, {high!r})"
        case IntDistribution(low=low, high=high, log=True):
            return f"tag(log, int(interval({low!r}, {high!r})))"
        case IntDistribution(low=low, high=high, step=1):
            return f"range({low!r}, {high + 1!r})"
        case IntDistribution(low=low, high=high, step=step):
            return f"range({low!r}, {high + step!r}, {step!r})"
        case FloatDistribution(low=low, high=high, step=float(step)):
            stop = float(Decimal(repr(high)) + Decimal(repr(step)) / 2)  # the stop is exclusive
            return f"range({low!r}, {stop!r}, {step!r})"
    return str(distribution)


def update_description(text: str) -> str:
    """Convert what ``describe`` of any version wrote into a study's record to the current form.

    Earlier, an integer range was written as an interval, which Hydra reads as floats, and null inside ``choice``.
    """
    if found := re.fullmatch(r"interval\((-?\d+), (-?\d+)\)", text):
        return f"range({found[1]}, {int(found[2]) + 1})"
    text = re.sub(r"^tag\(log, (interval\(\d+, \d+\))\)$", r"tag(log, int(\1))", text)
    return re.sub(r"^choice\(((.*, )?null(, .*)?)\)$", r"\1", text)
