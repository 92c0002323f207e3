"""What a study's trials amount to: which count, which are owed another attempt. Read from the study, never kept."""

import copy
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from vbot_train.study.lives import read_lives
from vbot_train.study.steps import correct_params
from vbot_train.study.trials import is_own

# Attributes that our trials carry in the study, beside their lives.
STATUS = "status"  # of its result
CAUSE = "cause"
SEED = "seed"  # its training seed
SEEDS = "seeds"  # those of its configuration, a trial each; absent where it is the only one
WORKER = "worker"  # the worker that runs it
ORIGIN = "origin"  # default, enqueued, history, proposed; in a later stage its name
HISTORY = "history"  # directory of an earlier study's trial, whose result it takes over
RETRY_OF = "retry_of"  # number of the trial that it repeats

OUTSIDE = ("process was killed", "No space left on device")  # in the cause of a failure that lies outside of the trial

Identity = frozenset[tuple[str, Any]]


def read_params(trial: FrozenTrial) -> dict[str, Any]:
    """A trial's parameters, also while it waits in the queue, and where its worker died before it had set them all."""
    return correct_params(trial.system_attrs.get("fixed_params") or trial.params, trial.distributions)


def correct_trial(trial: FrozenTrial) -> FrozenTrial:
    """A trial whose parameters Optuna accepts: earlier versions left computed steps in a study, which it refuses."""
    params = correct_params(trial.params, trial.distributions)
    if params == trial.params:
        return trial
    exact = copy.copy(trial)
    exact.params = params
    return exact


def identify(params: dict[str, Any]) -> Identity:
    """What makes two points of a space the same; floats are so but for rounding, for some were computed."""
    rounded = {key: float(f"{value:.12g}") for key, value in params.items() if isinstance(value, float)}
    return frozenset({**params, **rounded}.items())


def identify_configuration(trial: FrozenTrial) -> tuple[Identity, tuple[int, ...]]:
    """What the trials of one configuration have in common that were queued together, a trial per seed."""
    seeds = trial.user_attrs.get(SEEDS) or [trial.user_attrs.get(SEED, 0)]
    return identify(read_params(trial)), tuple(seeds)


class TrialCounts:
    """The books of a study at one moment.

    A trial that was trained again does not count: its retry does. So every configuration that is started counts
    once, and a search of 12 trials ends with 12 of them, whatever happened on the way.

    Args:
        trials: All trials of the study, by number; those that no search began do not count either.
        retries: How often a trial that crashed is trained again.
        but: Numbers of trials that are to be left out, since their files cannot be read any more.
    """

    def __init__(self, trials: Sequence[FrozenTrial], retries: int, but: Collection[int] = ()) -> None:
        self.trials = [correct_trial(trial) for trial in trials if is_own(trial)]
        self._by_number = {trial.number: trial for trial in self.trials}
        replaced = {trial.user_attrs.get(RETRY_OF) for trial in self.trials} | set(but)
        self.counted = [trial for trial in self.trials if trial.number not in replaced]
        waiting = [trial for trial in self.counted if trial.state == TrialState.WAITING]
        self.interrupted = [trial for trial in waiting if trial.user_attrs.get(STATUS) == "interrupted"]
        self.waiting = [trial for trial in waiting if trial not in self.interrupted]
        ended = [trial for trial in self.counted if trial.state.is_finished()]
        failed = [trial for trial in ended if trial.user_attrs.get(STATUS) == "failed"]
        self.given_up = [trial for trial in failed if read_lives(trial)[-1:] and read_lives(trial)[-1].killed]
        self.crashed = [
            trial for trial in failed if trial not in self.given_up and self._times_failed(trial) <= retries
        ]

    @property
    def promised(self) -> int:
        """Trials that have ended for good, run, or will certainly run."""
        return len(self.counted)

    @property
    def started(self) -> int:
        """Trials that have ended for good, or run."""
        return len(self.counted) - sum(map(len, (self.waiting, self.interrupted, self.crashed)))

    @property
    def proposals(self) -> int:
        """Configurations put forward so far, retries aside: the same whether a search was interrupted or not."""
        return sum(RETRY_OF not in trial.user_attrs and _is_first_seed(trial) for trial in self.trials)

    @property
    def incomplete(self) -> list[tuple[FrozenTrial, int]]:
        """Seeds that were never queued, because the worker died that queued their configuration; with another trial of
        it.
        """
        there = {
            (*identify_configuration(trial), trial.user_attrs[SEED])
            for trial in self.trials
            if SEEDS in trial.user_attrs
        }
        trials = {identify_configuration(trial): trial for trial in self.trials if SEEDS in trial.user_attrs}
        return [
            (trial, seed)
            for (point, seeds), trial in trials.items()
            for seed in seeds
            if (point, seeds, seed) not in there
        ]

    @cached_property
    def lost(self) -> set[int]:
        """Numbers of the trials that have ended for good without a value, by no cause outside of them.

        What was pruned is none of them: of that a sampler knows how far it came.
        """
        owed = {trial.number for trial in self.crashed}
        ended = [trial for trial in self.counted if trial.state == TrialState.FAIL and trial.number not in owed]
        return {trial.number for trial in ended if not _is_from_outside(trial.user_attrs)}

    @cached_property
    def taken(self) -> dict[Identity, list[int]]:
        """The configurations that count, each with the seed of every trial of it."""
        found: dict[Identity, list[int]] = {}
        for trial in self.counted:
            found.setdefault(identify(read_params(trial)), []).append(trial.user_attrs.get(SEED, 0))
        return found

    def _times_failed(self, trial: FrozenTrial) -> int:
        return sum(attempt.user_attrs.get(STATUS) == "failed" for attempt in self._attempts(trial))

    def _attempts(self, trial: FrozenTrial) -> list[FrozenTrial]:
        """The trial and those that it repeats."""
        attempts = [trial]
        while (earlier := self._by_number.get(attempts[-1].user_attrs.get(RETRY_OF, -1))) is not None:
            attempts.append(earlier)
        return attempts


def _is_from_outside(attributes: Mapping[str, Any]) -> bool:
    """Whether what ended a trial says nothing of its configuration."""
    cause = str(attributes.get(CAUSE))
    return attributes.get(STATUS) == "interrupted" or any(text in cause for text in OUTSIDE)


def _is_first_seed(trial: FrozenTrial) -> bool:
    """Whether a trial is the first of those that train its configuration."""
    seeds = trial.user_attrs.get(SEEDS)
    return seeds is None or trial.user_attrs[SEED] == seeds[0]
