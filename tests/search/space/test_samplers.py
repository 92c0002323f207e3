"""Samplers as the config groups describe them."""

import optuna
from hydra import compose, initialize_config_dir
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.samplers import TPESampler

from vbot_train.config.composition import CONF_DIR
from vbot_train.search.space.samplers import (
    build_sampler,
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


def test_bayesian_search_draws_all_keys_jointly_and_uses_nothing_that_optuna_deprecates():
    sampler = build_sampler(compose_job("method=bayesian").hydra.sweeper.sampler, seed=3)
    assert isinstance(sampler, TPESampler)
    study = told(sampler, 1)
    assert sampler.infer_relative_search_space(study, study.trials[0]).keys() == RANGES.keys()


def test_a_sampler_follows_the_seed_it_is_given():
    config = compose_job("method=random").hydra.sweeper.sampler
    draws = [told(build_sampler(config, seed), 0).ask(RANGES).params for seed in (3, 3, 4)]
    assert draws[0] == draws[1] != draws[2]


def test_a_grid_is_no_sampler_of_optuna():
    assert is_grid(compose_job().hydra.sweeper.sampler)
    assert not is_grid(compose_job("method=random").hydra.sweeper.sampler)
