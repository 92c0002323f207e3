"""Range of a parameter: position of a value on the scale of the range, and wider versions of the range."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from vbot_train.study.trials import Trial

BEYOND = 0.5  # share of its width, on its own scale, by which an interval is extended at an end
FURTHEST = 1.0  # [decades] maximum extension


@dataclass(frozen=True)
class Range:
    """One parameter of a search and its possible values."""

    key: str
    distribution: BaseDistribution

    @cached_property
    def choices(self) -> list[Any] | None:
        """Choices, numbers in ascending order; None for an interval."""
        if not isinstance(self.distribution, CategoricalDistribution):
            return None
        found = list(self.distribution.choices)
        return sorted(found) if all(map(_is_number, found)) else found

    @cached_property
    def ordered(self) -> bool:
        """Whether the values are numbers."""
        return self.choices is None or all(map(_is_number, self.choices))

    @cached_property
    def ends(self) -> tuple[float, float]:
        """Smallest and largest value of an ordered range."""
        if self.choices is not None:
            return self.choices[0], self.choices[-1]
        assert isinstance(self.distribution, FloatDistribution | IntDistribution)
        return self.distribution.low, self.distribution.high

    @property
    def decades(self) -> float:
        """Width of an ordered range in decades; for a share that approaches 1, the width of 1 - share."""
        low, high = self.ends
        if _nears_one(low, high):
            return math.log10((1 - low) / (1 - high))
        return math.log10(high / low) if low > 0 else math.inf

    def holds(self, value: Any) -> bool:
        """Check whether a value has a position in the range."""
        return self.choices is None or value in self.choices

    def place(self, value: Any) -> float:
        """Return a value's position in an ordered range: 0 at the low end, 1 at the high end; choices equidistant."""
        if self.choices is not None:
            return self.choices.index(value) / (len(self.choices) - 1)
        assert isinstance(self.distribution, FloatDistribution | IntDistribution)
        low, high = self.ends
        if self.distribution.log:
            return math.log(value / low) / math.log(high / low)
        return float((value - low) / (high - low))

    def wider(self, *, low: bool = False, high: bool = False) -> str | None:
        """Return an override with the range extended at the given ends; None if it cannot be extended.

        An interval grows by half of its width on its own scale; choices get the next value of their progression.
        Shares stay below 1, and positive values stay positive.
        """
        beyond = [self._beyond(up=up) if wanted else None for up, wanted in ((False, low), (True, high))]
        if beyond == [None, None]:
            return None
        if self.choices is not None:
            values = [beyond[0], *self.choices, beyond[1]]
            return f"{self.key}=choice({','.join(_text(value) for value in values if value is not None)})"
        ends = [old if new is None else new for old, new in zip(self.ends, beyond, strict=True)]
        return f"{self.key}={self._interval(*ends)}"

    def _beyond(self, *, up: bool) -> float | None:
        """Return the new value of an end; None if the range cannot be extended there."""
        low, high = self.ends
        value = _next(self.choices, up=up) if self.choices is not None else self._next_end(up=up)
        if value is None or (low > 0 and value <= 0) or (low >= 0 > value):
            return None
        if all(isinstance(end, int) for end in (low, high)):
            value = round(value)
        return value if (value > high if up else 0 < value < low or value < low <= 0) else None

    def _next_end(self, *, up: bool) -> float | None:
        assert isinstance(self.distribution, FloatDistribution | IntDistribution)
        low, high = self.ends
        step = self.distribution.step
        if self.distribution.log:
            factor = 10 ** min(BEYOND * math.log10(high / low), FURTHEST)
            value = high * factor if up else low / factor
        elif step is not None and (step != 1 or isinstance(step, float)):
            steps = max(round(BEYOND * (high - low) / step), 1) * step
            return _rounded(high + steps if up else low - steps, 12)
        else:
            half = BEYOND * (high - low)
            value = high + half if up else low - half if low <= 0 or low > half else low / 2
        if up and low >= 0 and high < 1:  # treat it as a share
            return min(_rounded(value, 2), 1 - _rounded((1 - high) / 2, 2))
        return _rounded(value, 2)

    def _interval(self, low: float, high: float) -> str:
        assert isinstance(self.distribution, FloatDistribution | IntDistribution)
        step, text = self.distribution.step, f"interval({_text(low)},{_text(high)})"
        if isinstance(self.distribution, IntDistribution) and self.distribution.log:
            text = f"int({text})"  # an interval alone yields floats
        if step is None or self.distribution.log:
            return f"tag(log,{text})" if self.distribution.log else text
        stop = high + step if isinstance(step, int) else high + step / 2  # Hydra's stop is exclusive
        return f"range({_text(low)},{_text(stop)},{_text(step)})"


def list_ranges(trials: Sequence[Trial]) -> list[Range]:
    """Return the last trial's ranges that contain the values of all trials; the seed is not a parameter."""
    if not trials:
        return []
    found = [Range(key, distribution) for key, distribution in trials[-1].distributions.items() if key != "seed"]
    varied = [there for there in found if not there.distribution.single()]
    return [
        there for there in varied if all(there.key in t.params and there.holds(t.params[there.key]) for t in trials)
    ]


def measure_distance(trials: Sequence[Trial], ranges: Sequence[Range]) -> float:
    """Compute the mean distance between two trials over all ranges; 1 is the width of a range on its own scale."""
    return float(np.mean([_apart(there, [trial.params[there.key] for trial in trials]) for there in ranges]))


def _apart(there: Range, values: Sequence[object]) -> float:
    pairs = len(values) * (len(values) - 1) / 2
    if there.ordered:
        places = np.sort([there.place(value) for value in values])
        return float((places * (2 * np.arange(len(places)) - len(places) + 1)).sum() / pairs)
    counts = np.unique([str(value) for value in values], return_counts=True)[1]
    return float(1 - (counts * (counts - 1) / 2).sum() / pairs)


def _next(choices: Sequence[Any], *, up: bool) -> float | None:
    """Return the next number of a progression: arithmetic if its steps are equal, else geometric."""
    low, high = choices[0], choices[-1]
    end, inner = (choices[-1], choices[-2]) if up else (choices[0], choices[1])
    if _nears_one(low, high):
        rest = 1 - end
        return 1 - _rounded(rest / 2, 2) if up else 1 - _rounded(rest * 2, 2) if rest < 0.5 else end / 2
    differences = {_rounded(b - a, 9) for a, b in itertools.pairwise(choices)}
    value = end + (end - inner)
    if low > 0 and (len(choices) < 3 or len(differences) > 1 or value <= 0):
        value = end * end / inner
    return 1 - (1 - high) / 2 if up and low > 0 and high < 1 <= value else _rounded(value, 3)


def _nears_one(low: float, high: float) -> bool:
    """Check whether a range is of a share such as a discount factor, whose scale is its distance to 1."""
    return low > 0 and 0.5 < high < 1


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _rounded(value: float, digits: int) -> float:
    return float(f"{value:.{digits}g}")


def _text(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.6g}".replace("e-0", "e-").replace("e+0", "e")
