"""Which points to try: only feasible ones ever become trials, so that trial numbers are dense."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.trial import TrialState

from vbot_train.config import ConfigError
from vbot_train.search.space import Candidate, Space

log = logging.getLogger(__name__)

BrokenRules = Callable[[Candidate], list[str]]  # names of the rules that a candidate breaks, in order

MAX_TRIES = 50  # redraws from the sampler before a random point is taken: TPE can insist on a region it never sees
MAX_RANDOM_TRIES = 2_000
SURVEY_POINTS = 500


@dataclass(frozen=True, slots=True)
class Survey:
    """How much of the space the rules leave."""

    points: int  # looked at: every cell of a grid, else random points
    feasible: int
    broken: dict[str, int]  # infeasible points by the first rule they break
    holds: set[str]  # rules that hold for at least one point

    @property
    def share(self) -> float:
        """Feasible share in [0, 1]."""
        return self.feasible / self.points


def survey(space: Space, broken_rules: BrokenRules, *, grid: bool, seed: int) -> Survey:
    """Count the feasible points: of a grid all, otherwise of a random sample.

    Raises:
        ConfigError: There is no feasible point among them.
    """
    points = space.cells() if grid else random_points(space, seed, SURVEY_POINTS)
    broken = [broken_rules(space.candidate(point)) for point in points]
    first = Counter(rules[0] for rules in broken if rules)
    feasible = len(broken) - first.total()
    if feasible == 0:
        raise ConfigError(
            f"search.constraints: none of {len(broken)} points is feasible, they break {', '.join(first)}"
        )
    return Survey(len(broken), feasible, dict(first), set().union(*broken))


def random_points(space: Space, seed: int, count: int) -> Iterator[dict[str, Any]]:
    """Draw points uniformly (in the logarithm where a range is tagged so)."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    for _ in range(count):
        yield study.ask(space.distributions).params


def enqueue_grid(study: optuna.Study, space: Space, broken_rules: BrokenRules, max_trials: int) -> int:
    """Put the feasible cells of a grid into the study's queue, in order, at most ``max_trials``. Returns how many."""
    count = 0
    for cell in space.cells():
        if count == max_trials:
            break
        if not broken_rules(space.candidate(cell)):
            study.enqueue_trial(cell)
            count += 1
    return count


class FeasibleSampler:
    """Draws feasible points with the study's sampler, which never hears of the infeasible ones.

    Args:
        study: The study; counts of rejected draws go into its attribute ``infeasible``.
        space: What varies.
        broken_rules: Names the rules that forbid a candidate.
        seed: Of the random points that are drawn when the sampler finds no feasible one.
    """

    def __init__(self, study: optuna.Study, space: Space, broken_rules: BrokenRules, seed: int) -> None:
        self._study = study
        self._space = space
        self._broken_rules = broken_rules
        self._seed = seed
        self._rejected: Counter[str] = Counter()

    def draw(self) -> Candidate:
        """The next feasible point.

        Raises:
            ConfigError: None was found.
        """
        copy = optuna.create_study(sampler=self._study.sampler, direction=self._study.direction)
        told = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)
        copy.add_trials(self._study.get_trials(deepcopy=False, states=told))
        for _ in range(MAX_TRIES):
            trial = copy.ask(self._space.distributions)
            candidate = self._space.candidate(trial.params)
            if self._is_feasible(candidate):
                return candidate
            copy.tell(trial, state=TrialState.FAIL)
        return self._draw_at_random()

    def _draw_at_random(self) -> Candidate:
        log.warning("the sampler proposed %d infeasible points in a row; taking a random feasible one", MAX_TRIES)
        self._seed += 1
        for point in random_points(self._space, self._seed, MAX_RANDOM_TRIES):
            candidate = self._space.candidate(point)
            if self._is_feasible(candidate):
                return candidate
        raise ConfigError(f"search.constraints: no feasible point among {MAX_RANDOM_TRIES} random ones")

    def _is_feasible(self, candidate: Candidate) -> bool:
        rules = self._broken_rules(candidate)
        if rules:
            self._rejected[rules[0]] += 1
            self._study.set_user_attr("infeasible", dict(self._rejected))
        return not rules
