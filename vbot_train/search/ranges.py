"""What an Optuna distribution holds, read and written in Hydra's grammar."""

import functools
import math
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution


def parse(value: Any) -> Any:
    """Choices of strings and lists arrive as Hydra's text."""
    return _parse_text(value) if isinstance(value, str) else value


@functools.cache
def _parse_text(text: str) -> Any:
    return OverridesParser.create().parse_override(f"value={text}").value()


def to_text(value: Any) -> str:
    """A value as Hydra's grammar writes it."""
    return "null" if value is None else str(value)


def find(distribution: BaseDistribution, value: Any) -> list[Any]:
    """The value as the distribution holds it; nothing if it does not."""
    values = values_of(distribution)
    if values is not None:
        return [choice for choice in values if _is_same(parse(choice), value)]
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    inside = isinstance(value, int | float) and distribution.low <= value <= distribution.high
    return [value] if inside else []


def holds(distribution: BaseDistribution, value: Any) -> bool:
    """Whether a trial may have the value."""
    if isinstance(distribution, CategoricalDistribution):
        return value in distribution.choices
    return bool(find(distribution, value))


def _is_same(choice: Any, value: Any) -> bool:
    """Whether they are equal; the steps of a range of floats are so but for rounding."""
    if isinstance(choice, float) and isinstance(value, float):
        return math.isclose(choice, value, rel_tol=1e-9, abs_tol=1e-12)
    return bool(choice == value)


def values_of(distribution: BaseDistribution | None) -> list[Any] | None:
    """All values that a distribution holds, None where there is no end of them."""
    match distribution:
        case CategoricalDistribution(choices=choices):
            return list(choices)
        case IntDistribution(low=low, high=high, step=step, log=False):
            return list(range(low, high + 1, step))
        case FloatDistribution(low=low, high=high, step=float(step)):
            return [low + step * k for k in range(round((high - low) / step) + 1)]
    return None


def describe(distribution: BaseDistribution) -> str:
    """A distribution in Hydra's grammar."""
    match distribution:
        case CategoricalDistribution(choices=choices):
            return f"choice({', '.join(map(to_text, choices))})"
        case IntDistribution(step=1) | FloatDistribution(step=None):
            text = f"interval({distribution.low!r}, {distribution.high!r})"
            return f"tag(log, {text})" if distribution.log else text
        case IntDistribution(low=low, high=high, step=step):
            return f"range({low!r}, {high + step!r}, {step!r})"
        case FloatDistribution(low=low, high=high, step=float(step)):
            return f"range({low!r}, {float(f'{high + step / 2:.12g}')!r}, {step!r})"  # its stop is exclusive
    return str(distribution)
