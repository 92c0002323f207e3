"""Samplers as the config groups describe them."""

import os
import subprocess
import sys

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


GP_THREADS = """
from omegaconf import OmegaConf
from vbot_train.search.space.samplers import build_sampler
build_sampler(OmegaConf.create({"_target_": "optuna.samplers.GPSampler"}), 1)
import torch
print(torch.get_num_threads())
"""


def test_a_gaussian_process_proposes_on_one_thread_since_the_trials_need_the_cores():
    free = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    line = [sys.executable, "-W", "ignore", "-c", GP_THREADS]
    assert subprocess.run(line, env=free, check=True, capture_output=True, text=True).stdout.strip() == "1"


def test_a_grid_is_no_sampler_of_optuna():
    assert is_grid(compose_job().hydra.sweeper.sampler)
    assert not is_grid(compose_job("method=random").hydra.sweeper.sampler)
