"""In-memory study from which a sampler learns."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from vbot_train.search.space.ordered_choices import encode_params, order_distributions
from vbot_train.study.accounting import TrialCounts, identify_configuration
from vbot_train.training.result import compute_iqm

ENOUGH = 10  # configurations at a rung, for a sampler to learn from their values there


@dataclass(frozen=True, slots=True)
class Told:
    """A configuration as reported to a sampler."""

    key: object  # identifies the configuration
    state: TrialState  # FAIL: not reported, unless it is lost
    trial: FrozenTrial  # one of its trials, for the parameters
    value: float | None = None  # if complete: at a rung, or the interquartile mean over its seeds
    is_lost: bool = False  # one of its seeds has ended without a value and is not retried


class SamplerStudy:
    """In-memory copy of a study for a sampler: one trial per configuration, over all its seeds.

    It holds completed and running configurations, and lost ones with the worst value seen. In the study itself a lost
    trial has no value, so that it is never ranked.

    With a scheduler, a configuration is completed here once it has a value at the highest rung that enough of them have
    reached (as in BOHB, Falkner et al. 2018, https://arxiv.org/abs/1807.01774).
    """

    def __init__(self, direction: StudyDirection) -> None:
        self._direction = direction
        self._level = 0  # rung whose values are reported
        self._worst: float | None = None  # value among the completed configurations
        self._reset()

    def _reset(self) -> None:
        self.study = optuna.create_study(direction=self._direction)
        self._known: dict[object, TrialState] = {}
        self._running: dict[object, int] = {}  # trial number here of each running configuration
        self._holds_lost = False

    def follow(self, counts: TrialCounts) -> None:
        """Add what is new; rebuild the copy if another rung is reported, or a worse value for lost configurations."""
        level = counts.rungs.find_level(counts.counted, ENOUGH)
        if level != self._level:
            self._reset()
        self._level = level
        configurations = list_told_configurations(counts, level)
        values = [told.value for told in configurations if told.state == TrialState.COMPLETE and told.value is not None]
        worst = (min if self._direction == StudyDirection.MAXIMIZE else max)(values, default=None)
        if (self._holds_lost and worst != self._worst) or self._has_lost_value(configurations):
            self._reset()
        self._worst = worst
        for told in configurations:
            if self._known.get(told.key) != told.state and self._add(told):
                self._known[told.key] = told.state

    def _has_lost_value(self, configurations: Sequence[Told]) -> bool:
        """Check whether a configuration that was reported as completed is lost since, or trained again."""
        completed = {key for key, state in self._known.items() if state == TrialState.COMPLETE}
        return any(told.key in completed and told.state != TrialState.COMPLETE for told in configurations)

    def _add(self, told: Told) -> bool:
        """Add a configuration. Return whether it was handled: a lost one waits until there is a worst value."""
        if told.state == TrialState.RUNNING:
            self._running[told.key] = len(self.study.get_trials(deepcopy=False))
            self._add_trial(told, TrialState.RUNNING)
            return True
        if told.key in self._running:
            self.study.tell(self._running.pop(told.key), state=TrialState.FAIL)
        if told.state == TrialState.COMPLETE:
            self._add_trial(told, TrialState.COMPLETE, told.value)
        elif told.is_lost:
            if self._worst is None:
                return False
            self._holds_lost = True
            self._add_trial(told, TrialState.COMPLETE, self._worst)
        return True

    def _add_trial(self, told: Told, state: TrialState, value: float | None = None) -> None:
        own = told.trial.distributions
        params = encode_params(told.trial.params, own)
        self.study.add_trial(
            create_trial(state=state, value=value, params=params, distributions=order_distributions(own))
        )


def list_told_configurations(counts: TrialCounts, level: int | None = None) -> list[Told]:
    """List the configurations as reported to a sampler, in the order in which they were begun.

    Args:
        counts: The study's trials.
        level: The rung whose values are reported; None or beyond the last one: the final values.
    """
    groups: dict[object, list[FrozenTrial]] = {}
    for trial in counts.trials:
        if trial.state != TrialState.WAITING or counts.rungs.is_paused(trial):
            groups.setdefault(_identify(trial), []).append(trial)
    held = {trial.number for trial in counts.paused}
    unfinished = {
        _identify(trial) for trial in counts.counted if trial.state == TrialState.WAITING and trial.number not in held
    }
    is_final = level is None or level > len(counts.rungs)
    values = {} if level is None or is_final else counts.rungs.list_values(level, counts.counted)
    return [
        _tell(key, trials, counts.lost, values, is_final=is_final, is_waiting=key in unfinished)
        for key, trials in groups.items()
    ]


def _identify(trial: FrozenTrial) -> object:
    """Return the key of a configuration on several seeds; any other trial is a configuration of its own."""
    key = identify_configuration(trial)
    return key if len(key[1]) > 1 else trial.number


def _tell(
    key: object,
    trials: Sequence[FrozenTrial],
    lost: set[int],
    at_rung: Mapping[int, float],
    *,
    is_final: bool,
    is_waiting: bool,
) -> Told:
    """Combine the states and values of a configuration's trials.

    Args:
        key: Identifies the configuration.
        trials: Its trials.
        lost: Numbers of the trials that have ended for good without a value.
        at_rung: Values at the reported rung by trial number, if it is not the end.
        is_final: Whether the final values are reported.
        is_waiting: Whether one of its trials waits to be trained.
    """
    first, states = trials[0], {trial.state for trial in trials}
    has_lost = any(trial.number in lost for trial in trials)
    there = [at_rung[trial.number] for trial in trials if trial.number in at_rung]
    if there and not has_lost:
        is_lost = not math.isfinite(there[0])  # nothing was observed there
        return Told(key, TrialState.FAIL if is_lost else TrialState.COMPLETE, first, there[0], is_lost)
    if TrialState.RUNNING in states or is_waiting:
        return Told(key, TrialState.RUNNING, first)
    if has_lost:
        return Told(key, TrialState.FAIL, first, is_lost=True)
    values = [t.value for t in trials if t.value is not None and t.state == TrialState.COMPLETE]  # pruned ones have one
    if not is_final or len(values) < max(_seeds(first), 1):
        return Told(key, TrialState.FAIL, first)
    return Told(key, TrialState.COMPLETE, first, values[0] if len(values) == 1 else compute_iqm(values))


def _seeds(trial: FrozenTrial) -> int:
    return len(identify_configuration(trial)[1])
