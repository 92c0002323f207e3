"""In-memory study from which a sampler learns."""

from collections.abc import Sequence
from dataclasses import dataclass

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from vbot_train.study.accounting import TrialCounts, identify_configuration
from vbot_train.training.result import compute_iqm


@dataclass(frozen=True, slots=True)
class Told:
    """A configuration as reported to a sampler."""

    key: object  # identifies the configuration
    state: TrialState  # FAIL: not reported, unless it is lost
    trial: FrozenTrial  # one of its trials, for the parameters; if pruned, also for the intermediate values
    value: float | None = None  # interquartile mean over its seeds, if complete
    is_lost: bool = False  # one of its seeds has ended without a value and is not retried


class SamplerStudy:
    """In-memory copy of a study for a sampler: one trial per configuration, over all its seeds.

    It holds completed, pruned and running configurations, and lost ones with the worst value seen. In the study
    itself a lost trial has no value, so that it is never ranked.
    """

    def __init__(self, direction: StudyDirection) -> None:
        self._direction = direction
        self._worst: float | None = None  # value among the completed configurations
        self._reset()

    def _reset(self) -> None:
        self.study = optuna.create_study(direction=self._direction)
        self._known: dict[object, TrialState] = {}
        self._running: dict[object, int] = {}  # trial number here of each running configuration
        self._holds_lost = False

    def follow(self, counts: TrialCounts) -> None:
        """Add what is new; rebuild the copy if the worst value, reported for lost configurations, has changed."""
        configurations = list_told_configurations(counts)
        values = [told.value for told in configurations if told.value is not None]
        worst = (min if self._direction == StudyDirection.MAXIMIZE else max)(values, default=None)
        if self._holds_lost and worst != self._worst:
            self._reset()
        self._worst = worst
        for told in configurations:
            if self._known.get(told.key) != told.state and self._add(told):
                self._known[told.key] = told.state

    def _add(self, told: Told) -> bool:
        """Add a configuration. Return whether it was handled: a lost one waits until there is a worst value."""
        if told.state == TrialState.RUNNING:
            self._running[told.key] = len(self.study.get_trials(deepcopy=False))
            self._add_trial(told, TrialState.RUNNING)
            return True
        if told.key in self._running:
            self.study.tell(self._running.pop(told.key), state=TrialState.FAIL)
        if told.state == TrialState.PRUNED:
            self.study.add_trial(told.trial)
        elif told.state == TrialState.COMPLETE:
            self._add_trial(told, TrialState.COMPLETE, told.value)
        elif told.is_lost:
            if self._worst is None:
                return False
            self._holds_lost = True
            self._add_trial(told, TrialState.COMPLETE, self._worst)
        return True

    def _add_trial(self, told: Told, state: TrialState, value: float | None = None) -> None:
        params, distributions = told.trial.params, told.trial.distributions
        self.study.add_trial(create_trial(state=state, value=value, params=params, distributions=distributions))


def list_told_configurations(counts: TrialCounts) -> list[Told]:
    """List the configurations as reported to a sampler, in the order in which they were begun."""
    groups: dict[object, list[FrozenTrial]] = {}
    for trial in counts.trials:
        if trial.state != TrialState.WAITING:
            groups.setdefault(_identify(trial), []).append(trial)
    unfinished = {_identify(trial) for trial in counts.counted if trial.state == TrialState.WAITING}
    return [_tell(key, trials, counts.lost, is_waiting=key in unfinished) for key, trials in groups.items()]


def _identify(trial: FrozenTrial) -> object:
    """Return the key of a configuration on several seeds; any other trial is a configuration of its own."""
    key = identify_configuration(trial)
    return key if len(key[1]) > 1 else trial.number


def _tell(key: object, trials: Sequence[FrozenTrial], lost: set[int], *, is_waiting: bool) -> Told:
    """Combine the states and values of a configuration's trials."""
    first, states = trials[0], {trial.state for trial in trials}
    if TrialState.RUNNING in states or is_waiting:
        return Told(key, TrialState.RUNNING, first)
    if any(trial.number in lost for trial in trials):
        return Told(key, TrialState.FAIL, first, is_lost=True)
    if pruned := [trial for trial in trials if trial.state == TrialState.PRUNED]:
        return Told(key, TrialState.PRUNED, pruned[0])
    values = [trial.value for trial in trials if trial.value is not None]
    if not values or len(values) < _seeds(first):
        return Told(key, TrialState.FAIL, first)
    return Told(key, TrialState.COMPLETE, first, values[0] if len(values) == 1 else compute_iqm(values))


def _seeds(trial: FrozenTrial) -> int:
    return len(identify_configuration(trial)[1])
