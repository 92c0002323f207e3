"""Narrower ranges around the best configuration of an earlier study, for fine-tuning.

A range keeps a third of its width (linear or logarithmic) around the best value, extended to contain the next best
trials: the box around the best (Perrone et al. 2019, https://arxiv.org/abs/1909.12552). An interval may extend beyond
its old edge, as the optimum may lie there; a range with steps stays within the old one.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from pathlib import Path
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from vbot_train.config.composition import look_up
from vbot_train.config.key_types import Bounds
from vbot_train.config.keys import find_bounds
from vbot_train.search.space.distributions import describe, find
from vbot_train.search.space.initial_points import list_best_configurations, open_earlier, read_settings
from vbot_train.search.space.space import read_space
from vbot_train.study.steps import compute_step

SHARE = 1 / 3  # of a range's width
DIGITS = 3  # significant digits of a new limit, rounded outwards


@dataclass(frozen=True, slots=True)
class Narrowing:
    """A narrowed space, and a note on each change."""

    distributions: dict[str, BaseDistribution]
    notes: list[str]  # for the user, a line for each key


def narrow_space(
    distributions: Mapping[str, BaseDistribution],
    given: Collection[str],
    directory: Path,
    metric: str,
    *,
    top: int,
    storage: str | None = None,
) -> Narrowing:
    """Narrow every range around the best configuration of an earlier study.

    Args:
        distributions: Ranges of this search; if the earlier study searched a key too, its range is narrowed instead.
        given: Keys whose range the command line gives; they keep it.
        directory: Directory of the earlier study.
        metric: Metric that ranks its trials.
        top: Number of its best trials that the new ranges contain.
        storage: URL from the command line.

    Raises:
        ConfigError: There is no such study, or none of its trials was completed.
    """
    study = open_earlier(directory, "search.around", storage)
    best = [
        read_settings(study, found.trials[0])
        for found in list_best_configurations(study, metric, "search.around")[:top]
    ]
    searched = read_space(study.record.space)
    narrow, notes = {}, []
    for key, own in distributions.items():
        if key in given:
            narrow[key] = own
            continue
        before = searched.get(key, own)
        try:
            values = [_read_value(key, config, choices) for config, choices in best]
        except KeyError:  # the key did not exist in the earlier study's version of the code
            values = []
        narrow[key] = narrow_range(key, before, *convert_to_choices(before, values)) if values else before
        changed = describe(narrow[key]) != describe(before)
        notes.append(f"{key}: {describe(before)} narrowed to {describe(narrow[key])}" if changed else f"{key}: kept")
    return Narrowing(narrow, notes)


def _read_value(key: str, config: Mapping[str, Any], choices: Mapping[str, str | None]) -> Any:
    """Return a trial's value of a key; raise KeyError if an experiment wrote out a group, which has no option name."""
    if key in choices and choices[key] is None:
        raise KeyError(key)
    return choices[key] if key in choices else look_up(config, key)


def convert_to_choices(distribution: BaseDistribution, values: Sequence[Any]) -> tuple[Any, list[Any]]:
    """Return the best value and the others as the distribution stores them (a list is a choice of text)."""
    written = [(find(distribution, value) or [_format_value(value)])[0] for value in values]
    return written[0], written[1:]


def _format_value(value: Any) -> Any:
    return f"[{','.join(map(str, value))}]" if isinstance(value, list) else value


def narrow_range(key: str, distribution: BaseDistribution, best: Any, others: Sequence[Any]) -> BaseDistribution:
    """Return a narrower range around the best value.

    Args:
        key: Config key; the schema has its valid values.
        distribution: The range so far.
        best: Best known value; it may lie outside the range.
        others: Values of the next best trials.
    """
    match distribution:
        case CategoricalDistribution(choices=choices):
            return CategoricalDistribution(_find_near(choices, best, others))
        case FloatDistribution(step=None, log=log):
            low, high = _find_window(key, distribution, best, others)
            smallest, largest = _find_limits(key, distribution)
            low = max(_round_value(low, ROUND_FLOOR), min(smallest, best))
            high = min(_round_value(high, ROUND_CEILING), max(largest, best))
            return FloatDistribution(low, high, log=log)
        case FloatDistribution(step=float(step)):
            start, stop = _count_steps(key, distribution, best, others, step)
            return FloatDistribution(compute_step(distribution, start), compute_step(distribution, stop), step=step)
        case IntDistribution(low=low, step=step, log=log):
            start, stop = _count_steps(key, distribution, best, others, step)
            return IntDistribution(low + step * start, low + step * stop, step=step, log=log)
    raise TypeError(distribution)


def _find_near(choices: Sequence[Any], best: Any, others: Sequence[Any]) -> list[Any]:
    """Keep the best choice and the others; if all choices are numbers, also the neighbours of the best."""
    known, kept = list(dict.fromkeys([*choices, best, *others])), {best, *others}
    if all(isinstance(choice, int | float) for choice in known):
        known.sort()
        place = known.index(best)
        kept |= set(known[max(place - 1, 0) : place + 2])
    return [choice for choice in known if choice in kept]


def _count_steps(
    key: str, distribution: IntDistribution | FloatDistribution, best: Any, others: Sequence[Any], step: float
) -> tuple[int, int]:
    """Return the first and last step of the new range, within the old one."""
    low, high = _find_window(key, distribution, best, others)
    steps = round((distribution.high - distribution.low) / step)
    # Rounded, so that 2.9999999999999996 steps are not two, and 4.000000000000001 not five.
    start, stop = (round((end - distribution.low) / step, 9) for end in (low, high))
    start, stop = math.floor(start), math.ceil(stop)
    return min(max(start, 0), steps), max(min(stop, steps), 0)


def _find_window(
    key: str, distribution: IntDistribution | FloatDistribution, best: float, others: Sequence[float]
) -> tuple[float, float]:
    if distribution.log:
        factor = (distribution.high / distribution.low) ** (SHARE / 2)
        around = (best / factor, best * factor)
    else:
        half = (distribution.high - distribution.low) * SHARE / 2
        around = (best - half, best + half)
    smallest, largest = _find_limits(key, distribution)
    low, high = max(min(*around, *others), smallest), min(max(*around, *others), largest)
    return min(low, best), max(high, best)


def _find_limits(key: str, distribution: IntDistribution | FloatDistribution) -> tuple[float, float]:
    """Return the smallest and largest valid value: within the schema's bounds, and a weight keeps its sign."""
    bounds = find_bounds(key) or Bounds(-math.inf, math.inf)
    smallest, largest = bounds.low, bounds.high
    if distribution.low >= 0:
        smallest = max(smallest, 0.0)
    if distribution.high <= 0:
        largest = min(largest, 0.0)
    if not distribution.log and bounds.excludes_low:
        smallest = distribution.low
    return smallest, largest


def _round_value(value: float, rounding: str) -> float:
    return float(Context(prec=DIGITS, rounding=rounding).create_decimal(Decimal(f"{value:.12g}")))
