"""A database that somebody else has locked for a while must not cost what has been trained."""

import functools
import logging
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from vbot_train.analysis.trials import STORAGE_ERRORS, what_a_database_says

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger(__name__)

PATIENCE_S = 300.0


def patient(step: Callable[P, T]) -> Callable[P, T]:
    """Take a step again for some minutes where the database is locked. It must bear to be cut short and begun anew."""

    @functools.wraps(step)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                return step(*args, **kwargs)
            except STORAGE_ERRORS as error:
                what = what_a_database_says(error)
                if "locked" not in what or time.monotonic() > deadline:
                    raise
                log.warning("the study's storage: %s; trying again", what)

    return wrapped
