"""Samplers and pruners as the config groups describe them."""

import optuna
import pytest
from hydra import compose, initialize_config_dir
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.pruners import NopPruner, PercentilePruner, SuccessiveHalvingPruner
from optuna.samplers import TPESampler

from vbot_train.config.composition import CONF_DIR, ConfigError
from vbot_train.config.validation import compose_validated
from vbot_train.search.space.samplers import (
    build_pruner,
    build_sampler,
    count_good_trials,
    is_grid,
)

RANGES = {
    "rate": FloatDistribution(1e-5, 1e-2, log=True),
    "clip": FloatDistribution(0.1, 0.3),
    "net": CategoricalDistribution(["a", "b"]),
}


def compose_job(*overrides):
    with initialize_config_dir(str(CONF_DIR)):
        return compose("config", overrides=list(overrides), return_hydra_config=True)


def told(sampler, trials):
    """A study with so many trials, their points drawn at random."""
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=1))
    for _ in range(trials):
        trial = study.ask(RANGES)
        study.tell(trial, -abs(trial.params["clip"] - 0.2) - abs(trial.params["rate"] - 1e-3))
    study.sampler = sampler
    return study


@pytest.mark.filterwarnings("ignore:.gamma. has been deprecated")
def test_bayesian_search_draws_all_keys_jointly_and_takes_a_fifth_of_the_trials_for_good():
    sampler = build_sampler(compose_job("method=bayesian").hydra.sweeper.sampler, seed=3)
    assert isinstance(sampler, TPESampler)
    study = told(sampler, 1)
    assert sampler.infer_relative_search_space(study, study.trials[0]).keys() == RANGES.keys()
    assert [count_good_trials(trials, share=0.2) for trials in (4, 5, 40, 500)] == [1, 1, 8, 25]


def test_a_sampler_follows_the_seed_it_is_given():
    config = compose_job("method=random").hydra.sweeper.sampler
    draws = [told(build_sampler(config, seed), 0).ask(RANGES).params for seed in (3, 3, 4)]
    assert draws[0] == draws[1] != draws[2]


def test_a_grid_is_no_sampler_of_optuna():
    assert is_grid(compose_job().hydra.sweeper.sampler)
    assert not is_grid(compose_job("method=random").hydra.sweeper.sampler)


@pytest.mark.parametrize(
    ("option", "kind"),
    [("none", NopPruner), ("halving", SuccessiveHalvingPruner), ("percentile", PercentilePruner)],
)
def test_each_pruner_is_what_its_option_says(option, kind):
    assert type(build_pruner(compose_validated([f"pruner={option}"]).pruner)) is kind


@pytest.mark.parametrize(("option", "kept"), [("halving", 1), ("percentile", 2)])
def test_a_pruner_spares_the_best_and_ends_the_worst_once_it_may_judge(option, kept):
    study = optuna.create_study(
        direction="maximize", pruner=build_pruner(compose_validated([f"pruner={option}"]).pruner)
    )
    for level in (1, 2, 3, 4, 5):
        trial = study.ask()
        for step in range(1, 9):
            trial.report(level, step)
        study.tell(trial, level)
    best, worst = study.ask(), study.ask()
    for step in range(1, 9):
        best.report(9, step)
        assert not best.should_prune()
    ended = []
    for step in range(1, 9):
        worst.report(0, step)
        ended.append(worst.should_prune())
    assert ended.index(True) == kept  # so many evaluations go by first


def test_a_pruner_that_its_settings_make_impossible_is_refused():
    with pytest.raises(ConfigError, match="reduction_factor"):
        build_pruner(compose_validated(["pruner=halving", "pruner.reduction_factor=1"]).pruner)
