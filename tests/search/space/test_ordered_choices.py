"""Choices of numbers reach a sampler as their index."""

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.study import StudyDirection
from optuna.trial import create_trial

from vbot_train.search.space.ordered_choices import decode_params, encode_params, order_distributions
from vbot_train.search.space.proposals import SampledProposals
from vbot_train.study.attributes import STATUS

SPACE = {
    "epochs": CategoricalDistribution([4, 2, 10, 5]),
    "clip": CategoricalDistribution([0.1, 0.2]),
    "net": CategoricalDistribution(["small", "large"]),
    "flag": CategoricalDistribution([True, False]),
    "mixed": CategoricalDistribution([1, "two"]),
    "only": CategoricalDistribution([7]),
    "rate": FloatDistribution(0, 1),
}
POINT = {"epochs": 10, "clip": 0.1, "net": "large", "flag": True, "mixed": 1, "only": 7, "rate": 0.5}


def test_numbers_become_indices_in_increasing_order_and_names_stay():
    assert order_distributions(SPACE) == SPACE | {"epochs": IntDistribution(0, 3), "clip": IntDistribution(0, 1)}
    assert encode_params(POINT, SPACE) == POINT | {"epochs": 3, "clip": 0}


def test_what_is_encoded_is_decoded_to_itself():
    assert decode_params(encode_params(POINT, SPACE), SPACE) == POINT


class Table:
    """A space of one choice of numbers."""

    def __init__(self):
        self.distributions = {"epochs": CategoricalDistribution([4, 2, 10, 5])}

    def compose_candidate(self, params, seed=None, *, shared=False):
        return params


@pytest.mark.parametrize("kind", [optuna.samplers.TPESampler, optuna.samplers.RandomSampler])
def test_a_sampler_sees_indices_and_proposes_choices(kind):
    seen = []

    def build(seed):
        sampler = kind(seed=seed)
        before = sampler.before_trial

        def look(study, trial):
            seen.extend(study.get_trials(deepcopy=False))
            before(study, trial)

        sampler.before_trial = look
        return sampler

    proposals = SampledProposals(
        Table(), lambda candidate: [], build, seed=0, direction=StudyDirection.MAXIMIZE, repeats=True
    )
    trial = create_trial(
        value=1.0, params={"epochs": 10}, distributions=Table().distributions, user_attrs={STATUS: "completed"}
    )
    points = [proposals.draw([trial], set(), index)["epochs"] for index in range(20)]
    assert set(points) <= {2, 4, 5, 10} and len(set(points)) > 1
    assert seen[0].params == {"epochs": 3} and seen[0].distributions == {"epochs": IntDistribution(0, 3)}
