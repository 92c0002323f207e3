"""Waiting trials, which a search or a script has put into a study."""

from collections.abc import Mapping
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from vbot_train.search.space.distributions import holds
from vbot_train.study.accounting import read_params
from vbot_train.study.attributes import ORIGIN

Distributions = Mapping[str, BaseDistribution]


def queue_trial(
    study: optuna.Study, params: Mapping[str, Any], distributions: Distributions, attributes: Mapping[str, Any]
) -> None:
    """Add a waiting trial with its parameters set, so that it can be taken by its number."""
    study.add_trial(
        create_trial(
            state=TrialState.WAITING,
            params={key: params[key] for key in distributions},
            distributions=dict(distributions),
            user_attrs=dict(attributes),
        )
    )


def set_params(study: optuna.Study, trial: FrozenTrial, distributions: Distributions) -> None:
    """Set the parameters of a trial that a script enqueued; otherwise only Optuna's ``ask`` would do that."""
    for key, value in read_params(trial).items():
        if key not in trial.params:
            ranges = distributions[key]
            study._storage.set_trial_param(trial._trial_id, key, ranges.to_internal_repr(value), ranges)


def refuse_foreign(study: optuna.Study, distributions: Distributions) -> None:
    """Fail the trials that a script enqueued outside of the space: they cannot be trained."""
    waiting = study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
    for trial in (trial for trial in waiting if ORIGIN not in trial.user_attrs):
        params = read_params(trial)
        if params.keys() != distributions.keys() or not all(holds(distributions[key], params[key]) for key in params):
            study._storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
