"""Statistics over training seeds and episodes."""

import math
import warnings

import numpy as np
import pytest

from vbot_train.training.seed_statistics import (
    bootstrap_difference_interval,
    bootstrap_interval,
    compute_iqms,
    compute_wilson_interval,
    draw_resamples,
    estimate_probability_of_improvement,
)


def test_the_interval_of_two_values_reaches_from_one_to_the_other():
    assert bootstrap_interval([1.0, 3.0]) == (1.0, 3.0)  # a quarter of the resamples is (1, 1), a quarter (3, 3)


def test_one_value_has_no_interval():
    assert bootstrap_interval([1.0]) is None
    assert bootstrap_difference_interval([1.0], [2.0, 3.0]) is None


def test_the_bootstrap_interval_of_many_normal_values_is_as_wide_as_theory_says():
    values = np.random.default_rng(0).normal(size=400)
    low, high = bootstrap_interval(values)
    assert high - low == pytest.approx(
        2 * 1.96 * 1.09 / 20, rel=0.15
    )  # an IQM of normal values has 1.09 times the error


def test_the_interval_of_a_difference_of_constants_is_that_difference():
    assert bootstrap_difference_interval([5.0, 5.0], [3.0, 3.0]) == (2.0, 2.0)


def test_interquartile_means_cut_off_a_quarter_at_each_end():
    assert compute_iqms(np.array([[100.0, 1.0, 2.0, -50.0], [4.0, 4.0, 4.0, 4.0]])).tolist() == [1.5, 4.0]


def test_the_probability_of_improvement_is_the_share_of_pairs_a_tie_counting_half():
    assert estimate_probability_of_improvement([1.0, 3.0], [2.0, 3.0], maximize=True) == pytest.approx(
        1.5 / 4
    )  # 3 > 2, 3 = 3
    assert estimate_probability_of_improvement([1.0, 3.0], [2.0, 3.0], maximize=False) == pytest.approx(2.5 / 4)


def test_a_lost_run_loses_against_every_other_and_ties_with_a_lost_one_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lost = -math.inf
        assert estimate_probability_of_improvement([lost, 1.0], [lost, 0.0], maximize=True) == pytest.approx(2.5 / 4)
        assert estimate_probability_of_improvement([-lost, 1.0], [-lost, 0.0], maximize=False) == pytest.approx(1.5 / 4)


def test_resampling_is_reproducible():
    assert (draw_resamples([1.0, 2.0, 3.0], seed=1) == draw_resamples([1.0, 2.0, 3.0], seed=1)).all()


@pytest.mark.parametrize(("successes", "episodes"), [(0, 20), (19, 20), (1000, 1024)])
def test_the_interval_is_wilsons(successes, episodes):
    z, share = 1.959964, successes / episodes
    middle = (share + z**2 / (2 * episodes)) / (1 + z**2 / episodes)
    half = z * math.sqrt(share * (1 - share) / episodes + z**2 / (4 * episodes**2)) / (1 + z**2 / episodes)
    assert compute_wilson_interval(successes, episodes) == pytest.approx((middle - half, middle + half), abs=2e-6)
