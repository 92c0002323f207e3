"""Proposals of the next point. Only feasible points become trials, so that trial numbers have no gaps."""

import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import optuna
from optuna.samplers import BaseSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from vbot_train.config.composition import ConfigError
from vbot_train.search.space.ordered_choices import decode_params, order_distributions
from vbot_train.search.space.sampler_study import build_sampler_study
from vbot_train.search.space.space import Candidate, Space
from vbot_train.study.accounting import Identity, TrialCounts, identify
from vbot_train.study.rungs import NO_RUNGS, Rungs
from vbot_train.study.steps import correct_params

log = logging.getLogger(__name__)

BrokenRules = Callable[[Candidate], list[str]]  # names of the rules that a candidate breaks, in order

MAX_TRIES = 50  # draws from the sampler before a random point: TPE is told of no infeasible point and can repeat it
MAX_RANDOM_TRIES = 2_000
SURVEY_POINTS = 500


@dataclass(frozen=True, slots=True)
class Survey:
    """Feasible part of the space."""

    points: int  # number checked: all cells of a grid, else random points
    feasible: list[dict[str, Any]]  # those that break no rule
    broken: dict[str, int]  # infeasible points by the first rule they break
    holds: set[str]  # rules that hold for at least one point

    @property
    def share(self) -> float:
        """Feasible share in [0, 1]."""
        return len(self.feasible) / self.points


def survey_space(space: Space, broken_rules: BrokenRules, *, grid: bool, seed: int) -> Survey:
    """Find the feasible points: among all cells of a grid, otherwise in a random sample.

    Raises:
        ConfigError: None of the points is feasible.
    """
    points = list(space.list_cells() if grid else draw_random_points(space, seed, SURVEY_POINTS))
    broken = [broken_rules(space.compose_candidate(point)) for point in points]
    first = Counter(rules[0] for rules in broken if rules)
    feasible = [point for point, rules in zip(points, broken, strict=True) if not rules]
    if not feasible:
        raise ConfigError(
            f"search.constraints: none of {len(points)} points is feasible, they break {', '.join(first)}"
        )
    return Survey(len(points), feasible, dict(first), set().union(*broken))


def draw_random_points(space: Space, seed: int, count: int) -> Iterator[dict[str, Any]]:
    """Draw points uniformly (on a logarithmic scale where a range has one)."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    for _ in range(count):
        yield correct_params(study.ask(space.distributions).params, space.distributions)


class Proposals(Protocol):
    """Source of the points to try next."""

    rejected: Counter[str]  # infeasible draws by the first rule they broke

    def draw(self, trials: Sequence[FrozenTrial], taken: Collection[Identity], index: int) -> dict[str, Any] | None:
        """Return the next point, None if none is left.

        Args:
            trials: Trials of the study so far.
            taken: Configurations that were tried or are queued.
            index: Number of points proposed before.
        """


class GridProposals:
    """The feasible cells of a grid, in order, each once."""

    def __init__(self, cells: Sequence[dict[str, Any]]) -> None:
        self._cells = [(identify(cell), cell) for cell in cells]
        self.rejected: Counter[str] = Counter()

    def draw(self, trials: Sequence[FrozenTrial], taken: Collection[Identity], index: int) -> dict[str, Any] | None:
        """Return the first cell that is not taken."""
        return next((cell for key, cell in self._cells if key not in taken), None)


class SampledProposals:
    """Feasible points from an Optuna sampler, which is never told of infeasible ones.

    The sampler is built anew for every point, with a seed of its own: so the points of a random search depend neither
    on interruptions nor on the number of workers, and a resumed sampler repeats nothing.

    Args:
        space: The search space.
        broken_rules: Returns the names of the rules that a candidate breaks.
        build_sampler: Builds the sampler for a seed.
        seed: Seed of the search.
        direction: Direction of the study.
        repeats: Whether a configuration that is taken may be drawn again.
        retries: How often a crashed trial is trained again.
        rungs: The rungs at which trials are paused; the sampler learns from the best value so far of those there.
    """

    def __init__(
        self,
        space: Space,
        broken_rules: BrokenRules,
        build_sampler: Callable[[int], BaseSampler],
        *,
        seed: int,
        direction: StudyDirection,
        repeats: bool,
        retries: int = 0,
        rungs: Rungs = NO_RUNGS,
    ) -> None:
        self._space = space
        self._broken_rules = broken_rules
        self._build_sampler = build_sampler
        self._seed = seed
        self._direction = direction
        self._repeats = repeats
        self._retries = retries
        self._rungs = rungs
        self.rejected: Counter[str] = Counter()

    def draw(self, trials: Sequence[FrozenTrial], taken: Collection[Identity], index: int) -> dict[str, Any] | None:
        """Return the next feasible point, None if none is left.

        Raises:
            ConfigError: No feasible point was found.
        """
        seed, other_seed = np.random.SeedSequence([self._seed, index]).generate_state(2).tolist()
        counts = TrialCounts(trials, self._retries, rungs=self._rungs)
        study = build_sampler_study(counts, self._direction, self._build_sampler(seed))
        for _ in range(MAX_TRIES):
            trial = study.ask(order_distributions(self._space.distributions))
            study.tell(trial, state=TrialState.FAIL)
            params = decode_params(trial.params, self._space.distributions)
            params = correct_params(params, self._space.distributions)
            if self._accepts(params, taken):
                return params
        log.warning("%d points from the sampler in a row were infeasible or taken; a random one follows", MAX_TRIES)
        return self._draw_at_random(taken, other_seed)

    def _draw_at_random(self, taken: Collection[Identity], seed: int) -> dict[str, Any] | None:
        for point in draw_random_points(self._space, seed, MAX_RANDOM_TRIES):
            if self._accepts(point, taken):
                return point
        if self._repeats:
            raise ConfigError(f"search.constraints: no feasible point among {MAX_RANDOM_TRIES} random ones")
        return None

    def _accepts(self, params: dict[str, Any], taken: Collection[Identity]) -> bool:
        if not self._repeats and identify(params) in taken:
            return False
        rules = self._broken_rules(self._space.compose_candidate(params))
        self.rejected.update(rules[:1])
        return not rules
