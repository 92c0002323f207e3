"""Smaller versions of what ``benchmarks/search.py`` measures. The others are those of ``tests/search/test_life.py``."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

SEEDS = range(1000, 1012)


@pytest.fixture(scope="module")
def landscape():
    """The benchmark, as a module."""
    path = Path(__file__).parents[1] / "benchmarks" / "search.py"
    spec = importlib.util.spec_from_file_location("landscape", path)
    module = sys.modules["landscape"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules["landscape"]


def point(learning_rate=10**-3.5, entropy=1e-3, network="small", epochs=5, clip=0.2):
    return {
        "ppo.learning_rate": learning_rate,
        "ppo.entropy_loss_scale": entropy,
        "network": network,
        "ppo.learning_epochs": epochs,
        "ppo.ratio_clip": clip,
    }


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (point(), 40.0),
        (point(network="large"), 43.0),
        (point(10**-2.9), 14.7152),  # one width beside the peak: 40 / e
        (point(entropy=10**-1.5, network="deep"), 35.0),  # 40 (1 - 0.15) + 1
    ],
)
def test_the_landscape_is_the_one_agreed_on(landscape, where, value):
    assert landscape.value(where) == pytest.approx(value, abs=1e-4)


@pytest.mark.parametrize(
    ("where", "infeasible"),
    [
        (point(4e-4, epochs=6), True),
        (point(4e-4, epochs=5), False),
        (point(3e-4, epochs=6), False),
        (point(entropy=0.03, clip=0.15), True),
        (point(entropy=0.03, clip=0.2), False),
    ],
)
def test_what_is_infeasible_there(landscape, where, infeasible):
    assert landscape.is_infeasible(where) == infeasible


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.gamma. has been deprecated")
def test_bayesian_search_beats_random_and_only_the_stock_sweeper_launches_what_is_infeasible(landscape):
    space, regrets = landscape.make_space(landscape.SPACE), {}
    for method in ("random", "bayesian"):
        outcomes = [landscape.ours(method, seed, space) for seed in SEEDS]
        assert sum(outcome.infeasible for outcome in outcomes) == 0
        regrets[method] = np.mean([landscape.best_value() - outcome.pick for outcome in outcomes])
    stock = [landscape.stock(seed) for seed in SEEDS]
    assert sum(outcome.infeasible for outcome in stock) > 100
    regrets["stock"] = np.mean([landscape.best_value() - outcome.pick for outcome in stock])
    assert regrets["bayesian"] < min(regrets["random"], regrets["stock"])
