"""Rules that separate two groups of trials, in the grammar of ``search.constraints``.

With few trials some threshold always separates them, so the search for the best rule is repeated with permuted groups:
the rule must be clearer than nearly all of those. Replicates of a configuration lie at one point and tend to end alike,
so they are permuted together.
"""

import itertools
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from vbot_train.analysis.estimators.resampling import find_units, shuffle_units
from vbot_train.analysis.evidence.ranges import Range, list_ranges
from vbot_train.study.trials import Trial

CUTS = 32  # maximum number of thresholds per range
SHUFFLES = 199
FEWEST = 3  # minimum number of trials of each group
MARGIN = 1.15  # two conditions must be clearer than one by this factor
WORD = re.compile(r"[A-Za-z_][\w-]*")
NO_WORDS = ("null", "true", "false")  # in Hydra's grammar

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Region:
    """Region that contains one group of trials, and its evidence."""

    rule: str
    inside: int  # trials of the group that satisfy the rule
    outside: int  # other trials that satisfy the rule
    others: int  # number of other trials
    fisher: float  # p-value of Fisher's exact test of this rule alone
    p: float  # permutation p-value: share of shuffles in which the best rule is at least as clear
    rules: int  # number of candidate rules
    holds: list[bool]  # whether each trial of the group satisfies the rule


@dataclass(frozen=True, slots=True, eq=False)
class Condition:
    """One comparison of a rule and the trials that satisfy it."""

    key: str
    text: str
    holds: Bools  # (N,)


def find_region(group: Sequence[Trial], others: Sequence[Trial], *, seed: int = 0) -> Region | None:
    """Find the condition, or the two joined by ``and``, that best separate a group of trials from others.

    Args:
        group: Trials that should satisfy the rule.
        others: Trials that should not satisfy it.
        seed: Seed of the permutations.

    Returns:
        The region; None if a group has too few trials, or there is no common range.
    """
    trials = [*group, *others]
    if min(len(group), len(others)) < FEWEST:
        return None
    ranges = list_ranges(trials)
    conditions = [found for there in ranges for found in _list_conditions(there, trials)]
    if not conditions:
        return None
    search = _Search(conditions)
    first, second, clarity = search.find_best(np.arange(len(group)))
    is_in_group = (np.arange(len(trials)) < len(group)).astype(np.float64)
    points = find_units(trials, [there.key for there in ranges])
    shuffled_groups = shuffle_units(is_in_group, points, SHUFFLES, np.random.default_rng(seed))
    shuffled = [search.find_best(np.flatnonzero(row))[2] for row in shuffled_groups]
    holds = conditions[first].holds & conditions[second].holds
    inside, outside = int(holds[: len(group)].sum()), int(holds[len(group) :].sum())
    table = [[inside, len(group) - inside], [outside, len(others) - outside]]
    return Region(
        rule=" and ".join(dict.fromkeys(conditions[k].text for k in sorted((first, second)))),
        inside=inside,
        outside=outside,
        others=len(others),
        fisher=float(stats.fisher_exact(table, alternative="greater").pvalue),
        p=(1 + sum(chance >= clarity - 1e-4 for chance in shuffled)) / (1 + SHUFFLES),
        rules=search.rules,
        holds=holds[: len(group)].tolist(),
    )


class _Search:
    """Search over all R conditions and their pairs (R x R, single conditions on the diagonal) for N trials."""

    def __init__(self, conditions: Sequence[Condition]) -> None:
        self.masks: Floats = np.array([found.holds for found in conditions], dtype=np.float32)  # (R, N)
        keys = np.array([found.key for found in conditions])
        single = np.eye(len(keys), dtype=bool)
        self.weight: Floats = np.where(single, 1.0, (keys[:, None] != keys) / MARGIN).astype(np.float32)
        self.rules = int((np.triu(self.weight) > 0).sum())
        self.held: Floats = self.masks @ self.masks.T  # (R, R) trials

    def find_best(self, group: NDArray[np.int64]) -> tuple[int, int, float]:
        """Return the best two conditions, equal if one suffices, and their clarity in standard deviations."""
        total, size = self.masks.shape[1], len(group)
        part = self.masks[:, group]
        excess = part @ part.T - self.held * (size / total)
        variance = self.held * (total - self.held) * (size * (total - size) / (total**2 * (total - 1)))
        clarity = self.weight * excess / np.sqrt(np.maximum(variance, 1e-9))
        at = int(clarity.argmax())
        return at // len(clarity), at % len(clarity), float(clarity.flat[at])


def _list_conditions(there: Range, trials: Sequence[Trial]) -> Iterator[Condition]:
    values = [trial.params[there.key] for trial in trials]
    if not there.ordered:
        yield from _find_memberships(there.key, values)
        return
    column, known = np.array(values), sorted(set(values))
    for k in np.unique(np.linspace(0, len(known) - 2, min(len(known) - 1, CUTS)).round().astype(int)):
        cut = known[k] if there.choices is not None else find_threshold(known[k], known[k + 1])
        yield Condition(there.key, f"{there.key} > {format_number(cut)}", column > cut)
        yield Condition(there.key, f"{there.key} <= {format_number(cut)}", column <= cut)


def _find_memberships(key: str, values: Sequence[Any]) -> Iterator[Condition]:
    """List conditions that a choice is one of one or two values; skip values that a rule cannot name, such as lists."""
    column = np.array([str(value) for value in values])
    known = sorted({value for value in values if is_nameable(value)}, key=str)
    for value in known:
        yield Condition(key, f"{key} == {format_literal(value)}", column == str(value))
    for pair in itertools.combinations(known, 2) if len(known) > 3 else ():
        names = ", ".join(map(format_literal, pair))
        yield Condition(key, f"{key} in ({names})", np.isin(column, [str(value) for value in pair]))


def is_nameable(value: Any) -> bool:
    """Check whether a rule can name a choice."""
    return isinstance(value, bool) or (
        isinstance(value, str) and WORD.fullmatch(value) is not None and value not in NO_WORDS
    )


def format_literal(value: Any) -> str:
    """Format a choice for a rule."""
    return json.dumps(value) if isinstance(value, str) else repr(value)


def find_threshold(below: float, above: float) -> float:
    """Return a number t with few digits such that ``below <= t < above``."""
    if isinstance(below, int) and isinstance(above, int):
        return below
    middle = (below * above) ** 0.5 if below > 0 else (below + above) / 2
    for digits in (2, 3, 4, 6):
        if below <= (rounded := float(f"{middle:.{digits}g}")) < above:
            return rounded
    return below


def round_outwards(value: float, *, up: bool) -> float:
    """Round a value up (down) to three significant digits."""
    rounding = ROUND_CEILING if up else ROUND_FLOOR
    return float(Context(prec=3, rounding=rounding).create_decimal(Decimal(repr(value))))


def format_number(value: float) -> str:
    """Format a number for a rule."""
    return repr(value).replace("e-0", "e-")
