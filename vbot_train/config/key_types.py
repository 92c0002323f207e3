"""Types of config values. Each checks itself, with a message that follows ``key=value: `` in a line for the user."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any

from pydantic import BeforeValidator, GetCoreSchemaHandler, Strict
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

LARGEST = 1e9  # far above any useful setting; networks and rewards are float32, where squares overflow from 1.8e19


class Role(Enum):
    """What a key is for a search. A key below a group has the group's role, where it states none itself."""

    SEARCHABLE = "may be searched; it affects a trial's result"
    RESULT = "affects a trial's result; all trials of a search have the same value"
    HARDWARE = "where and on how many threads a trial runs; without effect on its result"


@dataclass(frozen=True, slots=True)
class Bounds:
    """Bounds of a number, as an annotation of its type.

    Args:
        low: Smallest value.
        high: Largest value.
        excludes_low: Whether ``low`` itself is not allowed.
        is_whole: Whether the number must be an integer.
        besides: Values allowed instead of a number.
    """

    low: float
    high: float = LARGEST
    excludes_low: bool = False
    is_whole: bool = False
    besides: tuple[Any, ...] = ()

    def check(self, value: Any) -> Any:
        """Return a valid value unchanged.

        Raises:
            PydanticCustomError: Says what is wrong.
        """
        if value in self.besides and not isinstance(value, bool):
            return value
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise fault("must be a number")
        if self.is_whole and not isinstance(value, int):
            raise fault("must be a whole number")
        if not self.low <= value <= self.high or (value == self.low and self.excludes_low):  # also true for nan
            is_bounded = self.high < LARGEST or value > self.high
            wanted = f"must be {'more than' if self.excludes_low else 'at least'} {self.low}"
            raise fault(wanted + (f" and at most {self.high}" if is_bounded else ""))
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Check before pydantic's own type check, which then always passes."""
        return core_schema.no_info_before_validator_function(self.check, handler(source))


def pair(ends: Bounds) -> BeforeValidator:
    """Return the check of two numbers, [smallest, largest], both within bounds."""

    def check(value: Any) -> Any:
        if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 2:
            raise fault("must be two numbers, [smallest, largest]")
        check_items(value, ends)
        if value[0] > value[1]:
            raise fault("the smallest is more than the largest")
        return value

    return BeforeValidator(check)


def must(holds: Callable[[Any], bool], message: str, *, hides_value: bool = False) -> BeforeValidator:
    """Return the check of a value that is no number.

    Args:
        holds: The condition.
        message: Follows ``key=value: must ``.
        hides_value: Whether the value stays out of the message, as it may hold a password.
    """

    def check(value: Any) -> Any:
        if not holds(value):
            raise fault(f"must {message}", hides_value=hides_value)
        return value

    return BeforeValidator(check)


def fault(message: str, **context: Any) -> PydanticCustomError:
    """Return an error whose message follows ``key=value: ``; ``explain_errors`` reads the context."""
    return PydanticCustomError("fault", "{message}", {"message": message, **context})


def key_fault(key: str, value: Any, message: str) -> PydanticCustomError:
    """Return an error of a model's own check of values that must fit together; ``key`` is below the model."""
    return fault(message, key=key, value=value)


def check_items(values: Sequence[Any], bounds: Bounds) -> None:
    """Check each number of a list.

    Raises:
        PydanticCustomError: Says what is wrong with the first invalid one, and at which index.
    """
    for index, value in enumerate(values):
        try:
            bounds.check(value)
        except PydanticCustomError as error:
            raise fault(error.message(), index=index) from None


FINITE_BOUNDS = Bounds(-LARGEST)
COUNT_BOUNDS = Bounds(1, 2**31 - 1, is_whole=True)
WHOLE_BOUNDS = Bounds(0, 2**31 - 1, is_whole=True)
SEED_BOUNDS = Bounds(0, 2**32 - 1, is_whole=True)  # the largest seed that NumPy, and therefore Optuna, accepts
SHARE_BOUNDS = Bounds(0, 1)
SEEDS_BOUNDS = Bounds(1, 1000, is_whole=True)  # confirmation seeds start at 1001, test seeds at 2001
# Fixed, so that every machine accepts the same configs: more than the cores of any machine, but still a number of
# threads that one process can start (with 100,000, OpenMP ends in a segmentation fault).
MAX_PARALLEL = 1024
NOT_NEGATIVE_BOUNDS, POSITIVE_BOUNDS = Bounds(0), Bounds(0, excludes_low=True)

Finite = Annotated[float, FINITE_BOUNDS]
Positive = Annotated[float, POSITIVE_BOUNDS]
NotNegative = Annotated[float, NOT_NEGATIVE_BOUNDS]
Share = Annotated[float, SHARE_BOUNDS]
Tilt = Annotated[float, Bounds(0, 180, excludes_low=True)]
StandardDeviation = Annotated[float, Bounds(0, math.e, excludes_low=True)]  # the policy clamps it to this maximum
Duration = Annotated[float, Bounds(0, 1_000_000, excludes_low=True)]  # operating-system timers have a limit
Count = Annotated[int, COUNT_BOUNDS]
Whole = Annotated[int, WHOLE_BOUNDS]
Seed = Annotated[int, SEED_BOUNDS]
SeedCount = Annotated[int, SEEDS_BOUNDS]
EnvSteps = Annotated[int, Bounds(1, 10**12, is_whole=True)]
Threads = Annotated[int, Bounds(1, MAX_PARALLEL, is_whole=True)]
Workers = Annotated[int | str | None, Bounds(1, MAX_PARALLEL, is_whole=True, besides=(None, "auto"))]
Flag = Annotated[bool, Strict()]
NotNegativePair = Annotated[tuple[float, float], pair(NOT_NEGATIVE_BOUNDS)]
PositivePair = Annotated[tuple[float, float], pair(POSITIVE_BOUNDS)]
