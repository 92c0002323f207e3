"""Exact decimal values of float ranges with steps.

Optuna's ``low + k * step`` has rounding errors: 0.9 + 0.05 is 0.9500000000000001, outside a range that ends at 0.95.
"""

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from optuna.distributions import BaseDistribution, FloatDistribution


def count_steps(distribution: FloatDistribution) -> int:
    """Count the values of a range with steps."""
    assert distribution.step is not None
    return round((distribution.high - distribution.low) / distribution.step) + 1


def compute_step(distribution: FloatDistribution, number: int) -> float:
    """Return the value of a range with steps at an index, counted from 0 at the low end."""
    value = float(Decimal(repr(distribution.low)) + number * Decimal(repr(distribution.step)))
    return min(value, distribution.high)


def find_step(distribution: FloatDistribution, value: float) -> float | None:
    """Return the value of a range with steps that a number equals up to rounding; None if there is none."""
    low, high, step = distribution.low, distribution.high, distribution.step
    assert step is not None
    if not low - step < value < high + step:
        return None
    number = round((value - low) / step)
    found = compute_step(distribution, min(max(number, 0), count_steps(distribution) - 1))
    return found if math.isclose(found, value, rel_tol=1e-9, abs_tol=1e-12) else None


def correct_params(params: Mapping[str, Any], distributions: Mapping[str, BaseDistribution]) -> dict[str, Any]:
    """Return the parameters as trained and compared: rounding errors in ranges with steps are removed."""
    exact = dict(params)
    for key, distribution in distributions.items():
        if key in params and isinstance(distribution, FloatDistribution) and distribution.step is not None:
            found = find_step(distribution, params[key])
            exact[key] = params[key] if found is None else found
    return exact
