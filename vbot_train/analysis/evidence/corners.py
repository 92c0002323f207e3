"""A rule that excludes a single configuration: the corner of the search space that contains it."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from vbot_train.analysis.evidence.ranges import Range
from vbot_train.analysis.evidence.regions import format_literal, format_number, is_nameable, round_outwards

Params = Mapping[str, Any]


def find_corner(params: Params, spared: Sequence[Params], ranges: Sequence[Range]) -> str | None:
    """Find the smallest corner, bounded in two parameters, that contains a configuration.

    Args:
        params: Parameters of the configuration.
        spared: Parameters of configurations that must lie outside of the corner.
        ranges: Ranges of the search space.

    Returns:
        A rule; None if every corner contains a spared configuration.
    """
    sides = [_Side(there, params[there.key]) for there in ranges if there.ordered or is_nameable(params[there.key])]
    pairs = sorted(itertools.combinations(sides, 2), key=lambda pair: pair[0].share * pair[1].share)
    for first, second in pairs:
        if not any(first.holds(other) and second.holds(other) for other in spared):
            return f"{first.rule} and {second.rule}"
    return None


class _Side:
    """The part of an ordered range from a value to the nearer end; of unordered choices, the value itself."""

    def __init__(self, there: Range, value: Any) -> None:
        self.key, self.value = there.key, value
        if not there.ordered:
            self.sign, self.share = "==", 1 / len(there.choices or [value])
            return
        place, cells = there.place(value), 0 if there.choices is None else 1 / len(there.choices)
        self.sign = ">=" if place >= 0.5 else "<="
        self.share = min(place, 1 - place) * (1 - cells) + cells
        if there.choices is None and not isinstance(value, int):
            self.value = round_outwards(value, up=self.sign == "<=")

    def holds(self, params: Params) -> bool:
        found = params[self.key]
        if self.sign == "==":
            return bool(found == self.value)
        return bool(found >= self.value if self.sign == ">=" else found <= self.value)

    @property
    def rule(self) -> str:
        return (
            f"{self.key} {self.sign} {format_literal(self.value) if self.sign == '==' else format_number(self.value)}"
        )
