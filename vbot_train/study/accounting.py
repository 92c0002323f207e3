"""Counts of a study's trials: which count, and which must be run again. Derived from the study, never stored."""

import copy
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from vbot_train.study.attributes import CAUSE, RETRY_OF, SEED, SEEDS, STATUS
from vbot_train.study.lives import read_lives
from vbot_train.study.rungs import NO_RUNGS, Rungs, is_first_seed
from vbot_train.study.steps import correct_params
from vbot_train.study.trials import is_own
from vbot_train.training.result import RESUMABLE

OUTSIDE = ("process was killed", "No space left on device")  # in causes external to the trial

Identity = frozenset[tuple[str, Any]]


def read_params(trial: FrozenTrial) -> dict[str, Any]:
    """Return a trial's parameters as trained and compared."""
    return correct_params(trial.params, trial.distributions)


def correct_trial(trial: FrozenTrial) -> FrozenTrial:
    """Return the trial with parameters that Optuna accepts: in old studies, values with steps have rounding errors."""
    params = correct_params(trial.params, trial.distributions)
    if params == trial.params:
        return trial
    exact = copy.copy(trial)
    exact.params = params
    return exact


def identify(params: dict[str, Any]) -> Identity:
    """Return a hashable identity of a point; floats are rounded, so that rounding errors do not make points differ."""
    rounded = {key: float(f"{value:.12g}") for key, value in params.items() if isinstance(value, float)}
    return frozenset({**params, **rounded}.items())


def identify_configuration(trial: FrozenTrial) -> tuple[Identity, tuple[int, ...]]:
    """Return what the trials of one configuration share that were queued together, one trial per seed."""
    seeds = trial.user_attrs.get(SEEDS) or [trial.user_attrs.get(SEED, 0)]
    return identify(read_params(trial)), tuple(seeds)


class TrialCounts:
    """Counts of a study's trials at one moment.

    A trial that was retried does not count; its retry does. So a trial and its retries count once, and a search of 12
    trials ends with 12 counted trials, however many were retried.

    Args:
        trials: All trials of the study, by number; trials that no search started are ignored.
        retries: How often a crashed trial is retried.
        but: Numbers of trials to exclude, because their files can no longer be read.
        rungs: The rungs at which trials are paused.
    """

    def __init__(
        self, trials: Sequence[FrozenTrial], retries: int, but: Collection[int] = (), rungs: Rungs = NO_RUNGS
    ) -> None:
        self.rungs = rungs
        self.trials = [correct_trial(trial) for trial in trials if is_own(trial)]
        self._by_number = {trial.number: trial for trial in self.trials}
        replaced = {trial.user_attrs.get(RETRY_OF) for trial in self.trials} | set(but)
        self.counted = [trial for trial in self.trials if trial.number not in replaced]
        waiting = [trial for trial in self.counted if trial.state == TrialState.WAITING]
        self.paused = [trial for trial in waiting if rungs.is_paused(trial)]
        begun = [trial for trial in waiting if trial.user_attrs.get(STATUS) in RESUMABLE]
        self.interrupted = [trial for trial in begun if not rungs.is_paused(trial)]
        self.waiting = [trial for trial in waiting if not (rungs.is_paused(trial) or trial in begun)]
        ended = [trial for trial in self.counted if trial.state.is_finished()]
        failed = [trial for trial in ended if trial.user_attrs.get(STATUS) == "failed"]
        self.given_up = [trial for trial in failed if read_lives(trial)[-1:] and read_lives(trial)[-1].killed]
        self.crashed = [
            trial for trial in failed if trial not in self.given_up and self._count_failures(trial) <= retries
        ]

    @property
    def promised(self) -> int:
        """Number of trials that are there, or that the configurations begun may still need."""
        return len(self.counted) + len(self._missing_seeds) - len(self.incomplete)

    @property
    def started(self) -> int:
        """Number of trials that have ended for good, are paused or running, or depend on one that is."""
        return self.promised - sum(map(len, (self.waiting, self.interrupted, self.crashed)))

    def find_promotable(self, *, is_last: bool = False) -> FrozenTrial | None:
        """Return the paused trial to continue, None if there is none.

        Args:
            is_last: Whether nothing else is left to start.
        """
        if not self.paused:
            return None
        if is_last:
            return self.rungs.find_sole_finisher(self.counted)
        return self.rungs.find_promotable(self.counted, self.lost)

    @property
    def ended(self) -> int:
        """Number of trials that have ended for good."""
        return sum(trial.state.is_finished() and trial not in self.crashed for trial in self.counted)

    @property
    def proposals(self) -> int:
        """Number of configurations proposed so far, without retries; interruptions of the search do not change it."""
        return sum(RETRY_OF not in trial.user_attrs and is_first_seed(trial) for trial in self.trials)

    @cached_property
    def incomplete(self) -> list[tuple[FrozenTrial, int]]:
        """Seeds to queue now, each with another trial of its configuration.

        A worker died before it queued them, or their configuration has just passed the last rung.
        """
        return [(trial, seed) for trial, seed in self._missing_seeds if self.rungs.has_passed_all(trial)]

    @cached_property
    def _missing_seeds(self) -> list[tuple[FrozenTrial, int]]:
        """Seeds without a trial, each with the trial of its configuration that decides whether they are trained."""
        there = {
            (*identify_configuration(trial), trial.user_attrs[SEED])
            for trial in self.trials
            if SEEDS in trial.user_attrs
        }
        trials: dict[Any, FrozenTrial] = {}
        for trial in (trial for trial in self.trials if SEEDS in trial.user_attrs):
            key = identify_configuration(trial)
            trials[key] = trial if is_first_seed(trial) else trials.get(key, trial)
        return [
            (trial, seed)
            for (point, seeds), trial in trials.items()
            for seed in seeds
            if (point, seeds, seed) not in there
        ]

    @cached_property
    def lost(self) -> set[int]:
        """Numbers of the trials that have ended for good without a value, by a cause that is not external.

        Those that older versions pruned are not included.
        """
        owed = {trial.number for trial in self.crashed}
        ended = [trial for trial in self.counted if trial.state == TrialState.FAIL and trial.number not in owed]
        return {trial.number for trial in ended if not _is_from_outside(trial.user_attrs)}

    def list_reserved_seeds(self, params: dict[str, Any]) -> list[int]:
        """List the seeds of a configuration's trials, and those that are trained if the first one is good."""
        own = [trial for trial in self.counted if identify(read_params(trial)) == identify(params)]
        return [seed for trial in own for seed in trial.user_attrs.get(SEEDS) or [trial.user_attrs.get(SEED, 0)]]

    @cached_property
    def taken(self) -> dict[Identity, list[int]]:
        """The configurations that count, each with the seeds of its trials."""
        found: dict[Identity, list[int]] = {}
        for trial in self.counted:
            found.setdefault(identify(read_params(trial)), []).append(trial.user_attrs.get(SEED, 0))
        return found

    def _count_failures(self, trial: FrozenTrial) -> int:
        return sum(attempt.user_attrs.get(STATUS) == "failed" for attempt in self._list_attempts(trial))

    def _list_attempts(self, trial: FrozenTrial) -> list[FrozenTrial]:
        """List the trial and the earlier attempts that it repeats, newest first."""
        attempts = [trial]
        while (earlier := self._by_number.get(attempts[-1].user_attrs.get(RETRY_OF, -1))) is not None:
            attempts.append(earlier)
        return attempts


def _is_from_outside(attributes: Mapping[str, Any]) -> bool:
    """Check whether a trial ended by an external cause, which says nothing about its configuration."""
    cause = str(attributes.get(CAUSE))
    return attributes.get(STATUS) == "interrupted" or any(text in cause for text in OUTSIDE)
