"""Trials that wait in a study to be trained, put there by a search or by a script."""

from collections.abc import Mapping
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from vbot_train.search.space.distributions import holds
from vbot_train.study.accounting import ORIGIN, read_params

Distributions = Mapping[str, BaseDistribution]


def queue_trial(
    study: optuna.Study, params: Mapping[str, Any], distributions: Distributions, attributes: Mapping[str, Any]
) -> None:
    """Let a trial wait at the end of the queue, its parameters set, so that it can be taken by its number."""
    study.add_trial(
        create_trial(
            state=TrialState.WAITING,
            params={key: params[key] for key in distributions},
            distributions=dict(distributions),
            user_attrs=dict(attributes),
        )
    )


def set_params(study: optuna.Study, trial: FrozenTrial, distributions: Distributions) -> None:
    """Write down the parameters of a trial that a script queued, which only Optuna's own ``ask`` would do."""
    for key, value in read_params(trial).items():
        if key not in trial.params:
            ranges = distributions[key]
            study._storage.set_trial_param(trial._trial_id, key, ranges.to_internal_repr(value), ranges)


def refuse_foreign(study: optuna.Study, distributions: Distributions) -> None:
    """Take out of the queue what a script put there and is no point of the space: it cannot be trained."""
    waiting = study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
    for trial in (trial for trial in waiting if ORIGIN not in trial.user_attrs):
        params = read_params(trial)
        if params.keys() != distributions.keys() or not all(holds(distributions[key], params[key]) for key in params):
            study._storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
