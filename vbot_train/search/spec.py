"""Specification of a search: space, sampler, initial points, number of trials. Nothing here writes to a study."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.types import HydraContext
from omegaconf import DictConfig
from optuna.study import StudyDirection

from vbot_train.config.checks import check_values
from vbot_train.config.composition import (
    ConfigError,
    count_cores,
    read_choices,
    to_plain,
)
from vbot_train.config.key_types import SEED_BOUNDS
from vbot_train.config.schema import Simulation
from vbot_train.config.validation import validate_config
from vbot_train.search.callback import SearchCallback
from vbot_train.search.resume import list_option_settings
from vbot_train.search.space.distributions import count_values, list_ends, list_values
from vbot_train.search.space.initial_points import InitialPoint, InitialPoints, drop_repeats
from vbot_train.search.space.narrowing import Narrowing, narrow_space
from vbot_train.search.space.proposals import (
    GridProposals,
    Proposals,
    SampledProposals,
    draw_random_points,
    survey_space,
)
from vbot_train.search.space.samplers import build_sampler, check_sampler, is_grid
from vbot_train.search.space.space import Candidate, OutsideError, Space, read_space, split_overrides
from vbot_train.search.stages import check_disjoint, plan_stages
from vbot_train.study.accounting import identify
from vbot_train.study.record import StudyRecord
from vbot_train.study.recorded_settings import RecordedSearch
from vbot_train.study.rungs import Rungs, build_rungs
from vbot_train.training.metrics import METRICS

DEFAULT_TRIALS = 20
AROUND_TOP = 5  # best trials of search.around: the ranges hold them, and they are tried first


class SearchSpec:
    """Specification of a search, checked.

    Args:
        arguments: Overrides of the command line.
        config: The composed config.
        plain: The same in plain containers.
        context: Hydra's context.
        earlier: Record of the study that is continued; it has the ranges as search.around narrowed them then.

    Raises:
        ConfigError: The specification is invalid.
    """

    def __init__(
        self,
        arguments: list[str],
        config: DictConfig,
        plain: dict[str, Any],
        context: HydraContext,
        earlier: StudyRecord | None,
    ) -> None:
        self.sampler, params = config.hydra.sweeper.sampler, dict(config.hydra.sweeper.params or {})
        self.plain = plain
        self.config = validate_config(plain)
        settings = self.config.search
        self.seed = self.config.seed
        self.metric = settings.metric
        self.grid = is_grid(self.sampler)
        self.workers = count_workers(self.config.workers, self.config.simulation)
        self.choices = read_choices(config)
        self.callback = next(c for c in context.callbacks.callbacks if isinstance(c, SearchCallback))
        distributions, fixed = split_overrides(params, arguments, context.config_loader)
        if not distributions and not params:
            raise ConfigError("-m: nothing to search; add search=quick, or a sweep such as ppo.rollouts=24,48")
        if "seed" in distributions and settings.seeds_per_configuration > 1:
            raise ConfigError("search.seeds_per_configuration: must be 1 where seed is searched")
        given = set(split_overrides({}, arguments, context.config_loader)[0])
        narrowing = self._narrow(distributions, given, earlier)
        self.notes = narrowing.notes
        check_sampler(self.sampler, narrowing.distributions)
        self.space = Space(narrowing.distributions, fixed, config, context.config_loader)
        self._check_ends()
        self.survey = survey_space(self.space, self.broken_rules, grid=self.grid, seed=self.seed)
        self.total = self._count_total()
        self._check_last_seed()
        self.plan = plan_stages(settings).limit_to(self._count_configurations())
        check_disjoint(self.plan, self._list_training_seeds(), self.config.evaluation)
        self.points = drop_repeats(list(self._list_initial_points(earlier)))

    @property
    def rungs(self) -> Rungs:
        """The rungs at which trials are paused."""
        return build_rungs(self.config.scheduler, self.config.training.evaluations, self.metric)

    @property
    def seeds_per_configuration(self) -> int:
        """Number of training seeds of each configuration, a trial each."""
        return self.config.search.seeds_per_configuration

    @property
    def trials(self) -> int:
        """Number of trials at which the search ends."""
        return self.total * self.seeds_per_configuration

    @property
    def how_many(self) -> str:
        """Number of trials, as text for the user."""
        if (seeds := self.seeds_per_configuration) == 1:
            return f"{self.total} trials"
        return f"{self.total} configurations on {seeds} seeds each, {self.trials} trials"

    @property
    def direction(self) -> StudyDirection:
        """Whether the metric is maximized or minimized."""
        return StudyDirection[METRICS[self.metric].direction.upper()]

    def get_evaluation_seed(self, stage: str) -> int:
        """Return the seed of the held-out start states that a stage reports on: the search's, or the test's."""
        test = self.plan.test if stage == "test" else None
        return self.config.evaluation.seed if test is None else test.evaluation_seed

    def broken_rules(self, candidate: Candidate) -> list[str]:
        """Check a candidate's values, and return the names of the rules that it breaks."""
        check_values(candidate.config)
        return self.callback.broken_rules(candidate.config, candidate.choices)

    def build_proposals(self) -> Proposals:
        """Return what proposes points after the initial ones."""
        if self.grid:
            return GridProposals(self.survey.feasible)
        return SampledProposals(
            self.space,
            self.broken_rules,
            lambda seed: build_sampler(self.sampler, seed),
            seed=self.seed,
            direction=self.direction,
            repeats=self.config.search.duplicates == "replicate" and "seed" not in self.space.distributions,
            retries=self.config.search.retries,
            rungs=self.rungs,
        )

    def record(self) -> StudyRecord:
        """Return what ``study.yaml`` records of it."""
        return StudyRecord(
            study=self.config.study,
            metric=self.metric,
            space=self.space.describe(),
            fixed=self.space.fixed,
            options=list_option_settings(self.space.list_combinations(), self.plain),
            constraints=self.callback.rules,
            feasible_share=self.survey.share,
            max_trials=self.total,
            confirm=self.plan.confirm,
            test=self.plan.test,
            default=self._find_default(),
            sampler=to_plain(self.sampler),
            groups=self.choices,
            config={**self.plain, "storage": None},
        )

    def _narrow(self, distributions: dict[str, Any], given: set[str], earlier: StudyRecord | None) -> Narrowing:
        around = self.config.search.around
        if around is None:
            return Narrowing(distributions, [])
        if earlier is not None and earlier.settings.search.around == around:
            then = read_space(earlier.space)
            return Narrowing({k: own if k in given else then.get(k, own) for k, own in distributions.items()}, [])
        storage = self.config.storage
        return narrow_space(distributions, given, Path(around), self.metric, top=AROUND_TOP, storage=storage)

    def _count_configurations(self) -> int:
        """Return the maximum number of configurations to try; another training seed is only a replicate."""
        if self.grid:
            return min(len({identify(_drop_seed(cell)) for cell in self.survey.feasible}), self.total)
        counts = [count_values(space) for key, space in self.space.distributions.items() if key != "seed"]
        return self.total if None in counts else min(math.prod(count or 0 for count in counts), self.total)

    def _find_default(self) -> dict[str, Any] | None:
        """Return the composed configuration as a point of the space, without the seed; None if it lies outside."""
        try:
            return self.space.point(self.plain, self.choices, but="seed")
        except OutsideError:
            return None

    def _list_training_seeds(self) -> Sequence[int]:
        """Return the seeds of the search; for configurations drawn again, ``TrialQueue`` skips those of the stages."""
        searched = list_values(self.space.distributions.get("seed"))
        return self.config.training_seeds if searched is None else searched

    def _check_ends(self) -> None:
        """Check that the ends of each range are valid values: the points of the survey may all miss an invalid end."""
        start = next(draw_random_points(self.space, self.seed, 1))
        for key, distribution in self.space.distributions.items():
            for value in list_ends(distribution):
                check_values(self.space.compose_candidate({**start, key: value}).config)

    def _check_last_seed(self) -> None:
        """Check that the last seed is valid: a configuration that is drawn again is trained on the next seeds."""
        draws = 1 if self.grid else self.total
        last = self.seed + draws * self.seeds_per_configuration - 1
        if "seed" not in self.space.distributions and last > SEED_BOUNDS.high:
            raise ConfigError(
                f"seed={self.seed}: trials may need seeds up to {last}, and the largest is {SEED_BOUNDS.high}"
            )

    def _count_total(self) -> int:
        wanted, cells = self.config.search.max_trials, len(self.survey.feasible)
        if self.grid:
            return cells if wanted is None else min(wanted, cells)
        return DEFAULT_TRIALS if wanted is None else wanted

    def _build_initial_points(self) -> InitialPoints:
        return InitialPoints(self.space, self.plain, self.choices, self.broken_rules, self.metric)

    def _list_initial_points(self, earlier: StudyRecord | None) -> Iterator[InitialPoint]:
        """Yield the initial points; for a continued study, only those that its config lacks."""
        source, settings = self._build_initial_points(), self.config.search
        if earlier is None:
            yield source.make_default()
        then = RecordedSearch() if earlier is None else earlier.settings.search
        yield from source.list_enqueued([entry for entry in settings.enqueue if entry not in then.enqueue])
        if settings.around is not None and settings.around != then.around:
            yield from source.list_best_of(Path(settings.around), "search.around", AROUND_TOP)


def _drop_seed(point: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in point.items() if key != "seed"}


def count_workers(workers: int | str | None, simulation: Simulation) -> int:
    """Return the number of trial processes; ``auto`` is one per core, but one in all where they would share a GPU."""
    if workers in ("auto", None):
        return 1 if simulation.needs_gpu else count_cores()
    return int(workers)
