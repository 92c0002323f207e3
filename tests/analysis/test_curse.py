"""The winner's curse, simulated: 200 studies of 50 configurations, training noise as large as their spread."""

import numpy as np
import pytest
from studies import METRIC, retrained, screened, study

from vbot_train.analysis.verdict import Verdict
from vbot_train.training.seed_statistics import bootstrap_interval

STUDIES, CONFIGURATIONS = 200, 50
PLAN = {
    "confirm": {"top_k": 5, "seeds": [1001, 1002, 1003]},
    "test": {"seeds": [2001, 2002, 2003], "evaluation_seed": 7},
}


@pytest.fixture(scope="module")
def overstated():
    """By how much each stage over-states the winner, in standard deviations: (studies, search / confirm / test)."""
    return np.array([one_study(np.random.default_rng(seed)) for seed in range(STUDIES)])


def one_study(generator):
    truth = generator.normal(size=CONFIGURATIONS)

    def train(numbers, seeds):
        return [retrained(int(n), seed, truth[n] + generator.normal()) for seed in seeds for n in numbers]

    origins = ["default"] + ["proposed"] * (CONFIGURATIONS - 1)
    trials = [screened(n, truth[n] + generator.normal(), origin=origins[n]) for n in range(CONFIGURATIONS)]
    finalists = [found.number for found in Verdict(study(trials, **PLAN), METRIC).finalists]
    confirm = train(finalists, PLAN["confirm"]["seeds"])
    winner = Verdict(study(trials, confirm, **PLAN), METRIC).winner.number
    test = train([winner], PLAN["test"]["seeds"]) + train([0], PLAN["test"]["seeds"]) * (winner != 0)
    verdict = Verdict(study(trials, confirm, test, **PLAN), METRIC)
    by_search, found = verdict.screened[0], verdict.winner.number  # asked again: a test must not change it
    return (
        by_search.mean(METRIC) - truth[by_search.number],
        verdict.confirmed[found].mean(METRIC) - truth[found],
        verdict.tested[found].mean(METRIC) - truth[found],
    )


def test_the_search_overstates_its_winner_confirming_a_third_of_that_at_most_testing_nothing(overstated, say):
    search, confirm, test = overstated.mean(axis=0)
    error = overstated[:, 2].std(ddof=1) / np.sqrt(STUDIES)
    say(f"over-stated by the search {search:.3f}, confirming {confirm:.3f}, the test {test:.3f} (+- {error:.3f})")
    assert search > 1.0
    assert 0.0 < confirm <= search / 3
    assert abs(test) <= 2 * error


def test_of_three_seeds_a_95_percent_bootstrap_interval_holds_the_truth_less_often(say):
    generator = np.random.default_rng(0)
    held = []
    for _ in range(STUDIES):
        low, high = bootstrap_interval(generator.normal(size=3))
        held.append(low <= 0.0 <= high)
    say(f"a 95 % interval of three seeds holds the truth in {np.mean(held):.0%}")
    assert 0.6 < np.mean(held) < 0.9
