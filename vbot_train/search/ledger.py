"""What a study's trials amount to: which count, which are owed another attempt. Read from the study, never kept."""

import copy
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from vbot_train.analysis.steps import exact_params
from vbot_train.analysis.trials import KILLS

# Attributes that our trials carry in the study, beside their lives.
STATUS = "status"  # of its result
CAUSE = "cause"
SEED = "seed"  # its (first) training seed
LOOP = "loop"  # the loop that runs it
KILLED = "killed"  # True: interrupted because its loop died or it was stopped from outside, not by its search
ORIGIN = "origin"  # default, enqueued, history, proposed; in a later stage its name
HISTORY = "history"  # directory of the forked study's trial that it takes over
RETRY_OF = "retry_of"  # number of the trial that it repeats

Identity = frozenset[tuple[str, Any]]


def params_of(trial: FrozenTrial) -> dict[str, Any]:
    """A trial's parameters, also while it waits in the queue, and where its loop died before it had set them all."""
    return exact_params(trial.system_attrs.get("fixed_params") or trial.params, trial.distributions)


def exact_trial(trial: FrozenTrial) -> FrozenTrial:
    """A trial whose parameters Optuna accepts: earlier versions left computed steps in a study, which it refuses."""
    exact = copy.copy(trial)
    exact.params = exact_params(trial.params, trial.distributions)
    return exact


def identity(params: dict[str, Any]) -> Identity:
    """What makes two points of a space the same; floats are so but for rounding, for some were computed."""
    rounded = {key: float(f"{value:.12g}") for key, value in params.items() if isinstance(value, float)}
    return frozenset({**params, **rounded}.items())


def is_trained(seed: int, firsts: Iterable[int], seeds_per_trial: int) -> bool:
    """Whether a trial that begins at a seed would train on one that others, which begin at ``firsts``, train on."""
    return any(abs(seed - first) < seeds_per_trial for first in firsts)


class Ledger:
    """The books of a study at one moment.

    A trial that was trained again does not count: its retry does. So every configuration that is started counts
    once, and a search of 12 trials ends with 12 of them, whatever happened on the way.

    Args:
        trials: All trials of the study, by number.
        retries: How often a trial that crashed is trained again.
    """

    def __init__(self, trials: Sequence[FrozenTrial], retries: int) -> None:
        self.trials = [exact_trial(trial) for trial in trials]
        replaced = {trial.user_attrs.get(RETRY_OF) for trial in trials}
        self.counted = [trial for trial in trials if trial.number not in replaced]
        self.waiting = [trial for trial in self.counted if trial.state == TrialState.WAITING]
        interrupted, failed = (self._ended_as(status) for status in ("interrupted", "failed"))
        self.interrupted = [trial for trial in interrupted if self._times_killed(trial) <= KILLS]
        self.given_up = [trial for trial in interrupted if self._times_killed(trial) > KILLS]
        self.crashed = [trial for trial in failed if self._times_failed(trial) <= retries]

    @property
    def promised(self) -> int:
        """Trials that have ended for good, run, or will certainly run."""
        return len(self.counted)

    @property
    def started(self) -> int:
        """Trials that have ended for good, or run."""
        return len(self.counted) - len(self.waiting) - len(self.interrupted) - len(self.crashed)

    @property
    def proposals(self) -> int:
        """Configurations put forward so far, retries aside: the same whether a search was interrupted or not."""
        return sum(RETRY_OF not in trial.user_attrs for trial in self.trials)

    @cached_property
    def taken(self) -> dict[Identity, list[int]]:
        """The configurations that count, each with the (first) seed of every trial of it."""
        found: dict[Identity, list[int]] = {}
        for trial in self.counted:
            found.setdefault(identity(params_of(trial)), []).append(trial.user_attrs.get(SEED, 0))
        return found

    def _ended_as(self, status: str) -> list[FrozenTrial]:
        return [trial for trial in self.counted if trial.user_attrs.get(STATUS) == status and trial.state.is_finished()]

    def _times_killed(self, trial: FrozenTrial) -> int:
        return sum(attempt.user_attrs.get(KILLED, False) for attempt in self._attempts(trial))

    def _times_failed(self, trial: FrozenTrial) -> int:
        return sum(attempt.user_attrs.get(STATUS) == "failed" for attempt in self._attempts(trial))

    def _attempts(self, trial: FrozenTrial) -> list[FrozenTrial]:
        """The trial and those that it repeats."""
        attempts = [trial]
        while (earlier := attempts[-1].user_attrs.get(RETRY_OF)) is not None:
            attempts.append(self.trials[earlier])
        return attempts
