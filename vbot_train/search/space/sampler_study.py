"""In-memory study from which a sampler learns."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import optuna
from optuna.samplers import BaseSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from vbot_train.search.space.ordered_choices import encode_params, order_distributions
from vbot_train.study.accounting import TrialCounts, identify_configuration
from vbot_train.study.rungs import Rungs
from vbot_train.training.result import compute_iqm


@dataclass(frozen=True, slots=True)
class Told:
    """A configuration as reported to a sampler."""

    trial: FrozenTrial  # one of its trials, for the parameters
    state: TrialState  # FAIL: not reported, unless it is lost
    value: float | None = None  # over the seeds that have ended, or the best so far of one that has not
    is_final: bool = False  # whether all its seeds have ended
    is_lost: bool = False  # one of its seeds has ended without a value and is not retried


def build_sampler_study(counts: TrialCounts, direction: StudyDirection, sampler: BaseSampler) -> optuna.Study:
    """Build a study for a sampler, with one trial per configuration, over all its seeds.

    It holds completed and running configurations, and lost ones with the worst value seen. In the study itself a lost
    trial has no value, so that it is never ranked.

    With a scheduler, a configuration is completed here from its first rung on, with its best value so far, or with
    what its first seeds have ended with. The values at the highest rung with enough configurations alone, as in BOHB
    (Falkner et al. 2018, https://arxiv.org/abs/1807.01774), are worse: a model of those that went on forgets what is
    bad (LOG.md).
    """
    configurations = list_told_configurations(counts)
    values = [told.value for told in configurations if told.value is not None]
    worst = (min if direction == StudyDirection.MAXIMIZE else max)(values, default=None)
    study = optuna.create_study(direction=direction, sampler=sampler)
    for told in configurations:
        value = worst if told.is_lost else told.value
        if told.state == TrialState.RUNNING or value is not None:
            study.add_trial(_build_trial(told, value))
    return study


def _build_trial(told: Told, value: float | None) -> FrozenTrial:
    own = told.trial.distributions
    return create_trial(
        state=told.state if value is None else TrialState.COMPLETE,
        value=value,
        params=encode_params(told.trial.params, own),
        distributions=order_distributions(own),
    )


def list_told_configurations(counts: TrialCounts) -> list[Told]:
    """List the configurations as reported to a sampler, in the order in which they were begun."""
    groups: dict[object, list[FrozenTrial]] = {}
    for trial in counts.trials:
        if trial.state != TrialState.WAITING or counts.rungs.is_paused(trial):
            groups.setdefault(_identify(trial), []).append(trial)
    held = {trial.number for trial in counts.paused}
    unfinished = {
        _identify(trial) for trial in counts.counted if trial.state == TrialState.WAITING and trial.number not in held
    }
    counted = {trial.number for trial in counts.counted}
    return [
        _tell(trials, counts.lost, counts.rungs, counted, is_waiting=key in unfinished)
        for key, trials in groups.items()
    ]


def _identify(trial: FrozenTrial) -> object:
    """Return the key of a configuration on several seeds; any other trial is a configuration of its own."""
    key = identify_configuration(trial)
    return key if len(key[1]) > 1 else trial.number


def _tell(trials: Sequence[FrozenTrial], lost: set[int], rungs: Rungs, counted: set[int], *, is_waiting: bool) -> Told:
    """Combine the states and values of a configuration's trials.

    Args:
        trials: Its trials.
        lost: Numbers of the trials that have ended for good without a value.
        rungs: The rungs at which trials are paused.
        counted: Numbers of the trials that count.
        is_waiting: Whether one of its trials waits to be trained.
    """
    first, states = trials[0], {trial.state for trial in trials}
    has_lost = any(trial.number in lost for trial in trials)
    values = [t.value for t in trials if t.value is not None and t.state == TrialState.COMPLETE]  # pruned ones have one
    is_final = len(values) >= max(_seeds(first), 1)
    so_far = [
        rungs.find_best(trial.intermediate_values)
        for trial in trials
        if trial.number in counted and rungs.count_reached(trial)
    ]
    if not has_lost and values and (is_final or so_far):
        return Told(first, TrialState.COMPLETE, values[0] if len(values) == 1 else compute_iqm(values), is_final)
    if not has_lost and so_far:
        if math.isfinite(so_far[0]):
            return Told(first, TrialState.COMPLETE, so_far[0])
        return Told(first, TrialState.FAIL, is_lost=True)  # nothing was observed there
    if TrialState.RUNNING in states or is_waiting:
        return Told(first, TrialState.RUNNING)
    return Told(first, TrialState.FAIL, is_lost=has_lost)


def _seeds(trial: FrozenTrial) -> int:
    return len(identify_configuration(trial)[1])
