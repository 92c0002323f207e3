"""Optuna's samplers, built from their config; no other class can be instantiated."""

import os
from collections.abc import Mapping
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from optuna.distributions import BaseDistribution, IntDistribution
from optuna.samplers import BaseSampler

from vbot_train.config.composition import ConfigError
from vbot_train.search.space.distributions import MOST_LISTED, describe

GRID = "optuna.samplers.GridSampler"
# Optuna's other samplers keep their state in a study of one process (CMA-ES and NSGA in its trials, QMC in a
# counter), so that workers can neither share nor resume a study with them.
DRAWING = tuple(f"optuna.samplers.{name}" for name in ("RandomSampler", "TPESampler", "GPSampler"))
GAUSSIAN = "optuna.samplers.GPSampler"


def is_grid(config: Mapping[str, Any]) -> bool:
    """Check whether every combination is to be tried. Optuna's own grid sampler is never built."""
    return bool(config["_target_"] == GRID)


def check_sampler(config: Mapping[str, Any], space: Mapping[str, BaseDistribution]) -> None:
    """Refuse a sampler that cannot be shared, or needs too much memory: Optuna's GP lists a range's integers.

    Raises:
        ConfigError: The sampler cannot be used.
    """
    if config["_target_"] not in (GRID, *DRAWING):
        name = config["_target_"].rpartition(".")[2]
        raise ConfigError(f"hydra/sweeper/sampler: {name} cannot be resumed or shared; method=random, bayesian or gp")
    if config.get("group"):
        raise ConfigError("hydra.sweeper.sampler.group=True: keys are drawn jointly, in one group")
    for key, there in space.items() if config["_target_"] == GAUSSIAN else ():
        if isinstance(there, IntDistribution) and (there.high - there.low) // there.step >= MOST_LISTED:
            raise ConfigError(
                f"{key}={describe(there)}: method=gp takes at most {MOST_LISTED:,} values; or method=random"
            )


def build_sampler(config: DictConfig, seed: int) -> BaseSampler:
    """Build a sampler with this seed, unless its config says ``seed: null`` or has no seed.

    A Gaussian process imports torch when it proposes first. It gets one thread then: beside the trials, which use the
    same cores, several are many times slower. Trials set their own number.
    """
    node = OmegaConf.to_container(config, resolve=True)
    assert isinstance(node, dict)
    if node["_target_"] == GAUSSIAN:
        os.environ.setdefault("OMP_NUM_THREADS", "1")
    if node.get("seed") is not None:
        node["seed"] = seed
    sampler = instantiate(node, _execution_whitelist_=DRAWING)
    assert isinstance(sampler, BaseSampler)
    return sampler
