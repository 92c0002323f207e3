"""Choices of numbers, as an ordered quantity for a sampler: the index of each among the sorted choices.

Optuna's models take a categorical parameter for names without an order, so that 4 and 5 are as far apart as 4 and 128.
The study itself keeps the choices.
"""

from collections.abc import Mapping
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution


def order_distributions(distributions: Mapping[str, BaseDistribution]) -> dict[str, BaseDistribution]:
    """Return the distributions that a sampler sees: indices 0 to n - 1 in place of n numbers to choose from."""
    return {
        key: IntDistribution(0, len(choices) - 1) if (choices := _list_sorted(distribution)) else distribution
        for key, distribution in distributions.items()
    }


def encode_params(params: Mapping[str, Any], distributions: Mapping[str, BaseDistribution]) -> dict[str, Any]:
    """Replace every chosen number by its index."""
    return {
        key: choices.index(value) if (choices := _list_sorted(distributions[key])) else value
        for key, value in params.items()
    }


def decode_params(params: Mapping[str, Any], distributions: Mapping[str, BaseDistribution]) -> dict[str, Any]:
    """Replace every index by the number that it stands for."""
    return {
        key: choices[value] if (choices := _list_sorted(distributions[key])) else value for key, value in params.items()
    }


def _list_sorted(distribution: BaseDistribution) -> list[int | float]:
    """List the choices in increasing order; empty if they are no numbers, or a single one."""
    choices = distribution.choices if isinstance(distribution, CategoricalDistribution) else ()
    numbers = [choice for choice in choices if isinstance(choice, int | float) and not isinstance(choice, bool)]
    return sorted(numbers) if len(numbers) == len(choices) > 1 else []
