"""Every key of a config with its type and bounds, and its role in a search. ``conf/`` documents what each key means."""

import math
import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, model_validator

from vbot_train.config.groups import ConfigGroup, Group
from vbot_train.config.key_types import (
    COUNT_BOUNDS,
    SEED_BOUNDS,
    SEEDS_BOUNDS,
    SHARE_BOUNDS,
    Bounds,
    Count,
    Duration,
    EnvSteps,
    Flag,
    NotNegative,
    Positive,
    Role,
    Seed,
    SeedCount,
    Share,
    StandardDeviation,
    Threads,
    Whole,
    Workers,
    check_items,
    fault,
    key_fault,
    must,
)
from vbot_train.config.reward_terms import Reward
from vbot_train.config.tasks import Task
from vbot_train.training.metrics import METRICS


class Ppo(ConfigGroup):
    """PPO hyperparameters."""

    learning_rate: Positive
    learning_rate_schedule: Literal["none", "linear", "kl"]
    kl_target: Positive
    discount_factor: Share
    gae_lambda: Share
    ratio_clip: Positive
    value_clip: NotNegative
    grad_norm_clip: NotNegative
    entropy_loss_scale: NotNegative
    value_loss_scale: NotNegative
    learning_epochs: Count
    mini_batches: Count
    rollouts: Count
    kl_threshold: NotNegative
    initial_std: StandardDeviation
    mixed_precision: Flag


def _check_widths(sizes: Any) -> Any:
    if not isinstance(sizes, list | tuple) or not sizes:
        raise fault("must be a list of at least one layer width")
    check_items(sizes, COUNT_BOUNDS)
    return sizes


class Network(ConfigGroup):
    """Networks of policy and value function."""

    hidden_layer_sizes: Annotated[tuple[int, ...], BeforeValidator(_check_widths)]


class Training(ConfigGroup):
    """Robots, length and evaluation of a training."""

    num_envs: Count
    env_steps: EnvSteps
    evaluations: Count
    stop_at_success: Share | None
    selection_episodes: Count
    evaluation_episodes: Count
    torch_threads: Annotated[Threads | None, Role.HARDWARE]

    @property
    def last_episodes(self) -> int:
        """Episodes at the end for the last checkpoint, if that is not the best: a quarter, as they select nothing."""
        return min(self.evaluation_episodes, max(self.selection_episodes, self.evaluation_episodes // 4))


class Simulation(ConfigGroup):
    """What steps the robots. The keys with a default are those of ``warp`` only."""

    backend: Literal["mujoco", "warp", "motrix"]  # motrix only evaluates
    threads: Annotated[Threads | None, Role.HARDWARE]
    device: Annotated[Any, Role.HARDWARE] = None
    nconmax: Count | None = None
    njmax: Count | None = None

    @property
    def needs_gpu(self) -> bool:
        """Whether it runs on a GPU."""
        return self.backend == "warp" and self.device != "cpu"


class Evaluation(Group):
    """Seeds of the held-out start states."""

    selection_seed: Seed
    seed: Seed

    @model_validator(mode="after")
    def _check_seeds(self) -> Self:
        """Check that the checkpoint is not chosen on the start states of the reported metrics."""
        if self.selection_seed == self.seed:
            raise key_fault("selection_seed", self.seed, "must differ from evaluation.seed")
        return self


def _check_rungs(rungs: Any) -> Any:
    if not isinstance(rungs, list | tuple):
        raise fault("must be a list of shares of a training, as in [0.25, 0.5]")
    check_items(rungs, SHARE_BOUNDS)
    if any(later <= earlier for earlier, later in pairwise([0, *rungs])):
        raise fault("must be increasing shares of a training, above 0")
    return rungs


class Scheduler(ConfigGroup):
    """Rungs at which a search compares its trials, and pauses those that fall behind."""

    rungs: Annotated[tuple[float, ...], BeforeValidator(_check_rungs)]
    reduction_factor: Annotated[int, Bounds(2, 1000, is_whole=True)]


def _check_seeds(seeds: Any) -> Any:
    if not isinstance(seeds, list | tuple):
        return SEEDS_BOUNDS.check(seeds)
    check_items(seeds, SEED_BOUNDS)
    if not seeds or len(set(seeds)) < len(seeds):
        raise fault("must be a number, or seeds that differ")
    return seeds


Seeds = Annotated[int | tuple[int, ...], BeforeValidator(_check_seeds)]


class Confirm(Group):
    """The stage that trains the best configurations again."""

    top_k: Whole
    seeds: Seeds


class Test(Group):
    """The stage that trains the winner and the default."""

    seeds: Seeds
    evaluation_seed: Seed


def _or_none(stage: type[Group]) -> BeforeValidator:
    """Return the check of a stage that may be off, as ``none`` or null."""

    def read(value: Any) -> Any:
        if value in (None, "none"):
            return None
        if not isinstance(value, Mapping | Group):
            raise fault(f"must be none, or have the keys {' and '.join(stage.model_fields)}")
        return value

    return BeforeValidator(read)


def _check_metric(metric: Any) -> Any:
    if not isinstance(metric, str) or metric not in METRICS:
        raise fault(f"choose one of {', '.join(METRICS)}")
    return metric


def _is_text(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _is_name(value: Any) -> bool:
    return value is not None and re.fullmatch(r"\w[\w.-]*", str(value)) is not None


class Search(Group):
    """Settings of a search."""

    name: Annotated[Any, must(_is_name, "be a name, of letters, digits, '_', '.' and '-'")]
    max_trials: Count | None
    metric: Annotated[str, BeforeValidator(_check_metric), Role.RESULT]
    within: Positive | None
    constraints: Any  # names with rules; ``search.space.constraints`` checks them
    seeds_per_configuration: SeedCount
    enqueue: Annotated[
        list[Any], must(lambda value: isinstance(value, list), "be a list, as in search.enqueue=[multirun/NAME:3]")
    ]
    around: Annotated[str | None, must(_is_text, "be the directory of a study")]
    duplicates: Literal["replicate", "skip"]
    retries: Whole
    trial_minutes: Duration | None
    confirm: Annotated[Confirm | None, _or_none(Confirm)]
    test: Annotated[Test | None, _or_none(Test)]
    dry_run: Flag


def _check_training_seed(config: "Config | RecordedConfig") -> None:
    if config.seed in (config.evaluation.selection_seed, config.evaluation.seed):
        raise key_fault("seed", config.seed, "is one of the evaluation's seeds, whose starts training must not see")


class RecordedConfig(Group):
    """The part of a run's recorded config that an evaluation reads."""

    env: Task
    reward: Reward
    ppo: Ppo
    network: Network
    simulation: Simulation
    seed: Seed
    evaluation: Evaluation

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_training_seed(self)
        return self


class Config(Group):
    """A composed config."""

    env: Annotated[Task, Role.RESULT]
    reward: Annotated[Reward, Role.SEARCHABLE]
    ppo: Annotated[Ppo, Role.SEARCHABLE]
    network: Annotated[Network, Role.SEARCHABLE]
    training: Annotated[Training, Role.RESULT]
    simulation: Annotated[Simulation, Role.RESULT]
    scheduler: Scheduler
    seed: Annotated[Seed, Role.SEARCHABLE]
    init_from: Annotated[str | None, must(_is_text, "be the directory of a run, or a checkpoint"), Role.SEARCHABLE]
    evaluation: Annotated[Evaluation, Role.RESULT]
    study: Any  # ``search.naming`` checks it
    storage: Annotated[str | None, must(_is_text, "be a SQLAlchemy URL", hides_value=True)]
    workers: Workers
    budget_hours: Duration | None
    search: Search

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_training_seed(self)
        if self.training.env_steps < self.rollout_env_steps:
            less = f"less than one update's {self.rollout_env_steps} samples"
            raise key_fault("training.env_steps", self.training.env_steps, less)
        self._check_scheduler()
        return self

    def _check_scheduler(self) -> None:
        """Check that every rung lies on a held-out evaluation that gives the metric."""
        if not self.scheduler.rungs:
            return
        if self.search.metric == "env_steps_to_success":
            what = "is known at the end only, so no rung can compare it; or scheduler=none"
            raise key_fault("search.metric", self.search.metric, what)
        if self.updates < (count := self.training.evaluations):
            raise key_fault(
                "training.evaluations",
                count,
                f"more than the {self.updates} updates of ppo.rollouts={self.ppo.rollouts}, so rungs have no place; "
                "or scheduler=none",
            )
        for rung in self.scheduler.rungs:
            if not math.isclose(rung * count, round(rung * count)):
                message = (
                    f"{rung} lies between two of the {count} held-out evaluations; choose k/{count}, or scheduler=none"
                )
                raise key_fault("scheduler.rungs", list(self.scheduler.rungs), message)

    @property
    def rollout_env_steps(self) -> int:
        """Env steps of all robots between two updates."""
        return self.training.num_envs * self.ppo.rollouts

    @property
    def training_seeds(self) -> list[int]:
        """Training seeds that a search uses for each configuration, one trial per seed."""
        return [self.seed + k for k in range(self.search.seeds_per_configuration)]

    @property
    def trial_env_steps(self) -> float:
        """Env steps of a trial, at most: training, checkpoint selection, and the two evaluations at the end."""
        training, steps = self.training, self.env.control_steps
        at_the_end = training.last_episodes + training.evaluation_episodes
        episodes = training.evaluations * training.selection_episodes + at_the_end
        return training.env_steps + episodes * steps

    @property
    def updates(self) -> int:
        """Number of updates of a training."""
        return self.training.env_steps // self.rollout_env_steps

    @property
    def evaluations(self) -> int:
        """Number of held-out evaluations while it trains: at most one per update."""
        return min(self.training.evaluations, self.updates)
