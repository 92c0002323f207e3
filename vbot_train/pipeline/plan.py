"""How a chain's hours are divided, and what fits into them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from vbot_train.config.composition import ConfigError
from vbot_train.config.schema import Config
from vbot_train.pipeline.schema import Search, Train
from vbot_train.pipeline.steps import Step
from vbot_train.search.stages import plan_stages
from vbot_train.study.plan import Plan
from vbot_train.study.rungs import build_rungs
from vbot_train.study.timing import HOUR_S

COMMAND_S = 10.0  # of a command: imports, the survey of the space, the analysis
TAKE_AWAY_S = 60.0  # measuring, exporting and filming the final policy, and the page
SURE = 0.9  # share of a step's time that is planned for more test seeds
MARGIN = 1.1  # trainings take so many times longer than expected, at times
LEAST = 2  # configurations of a search or a comparison: with one there is nothing to choose


@dataclass(frozen=True, slots=True)
class Need:
    """What a step needs."""

    step: Step
    training_s: float  # of one training, with all workers at work [s]
    workers: int
    trials: int = 1  # configurations, at most
    cost: float = 1.0  # trainings per configuration, at most 1: a scheduler stops most of them early
    stages: Plan | None = None  # what is trained after a search

    def compute_s(self, trials: int) -> float:
        """Compute the wall clock of the step with so many configurations [s]."""
        if isinstance(self.step.stage, Train):
            return COMMAND_S + MARGIN * self.training_s
        later = [] if self.stages is None else self.stages.limit_to(trials).stages
        trainings = [trials * self.cost, *(stage.trainings for stage in later)]  # each stage waits for the one before
        rounds = sum(math.ceil(number / self.workers) for number in trainings)
        return COMMAND_S + MARGIN * rounds * self.training_s

    def count_fitting(self, seconds: float) -> int:
        """Count the configurations that fit into a time, the trainings after the search included."""
        fitting = (trials for trials in range(self.trials, 0, -1) if self.compute_s(trials) <= seconds)
        return next(fitting, 0)

    def count_test_seeds(self, seconds: float, most: int) -> int | None:
        """Count the seeds on which a comparison can test: those that its line says, or more, as many as surely fit.

        Not all the time is given away: a test that is cut short says nothing.

        Args:
            seconds: Wall clock of the step [s].
            most: So many at most.

        Returns:
            The seeds; None if nothing is tested.
        """
        if self.stages is None or self.stages.test is None:
            return None
        least = len(self.stages.test.seeds)
        fitting = (n for n in range(most, least, -1) if self._test_on(n).compute_s(self.trials) <= SURE * seconds)
        return next(fitting, least)

    def _test_on(self, seeds: int) -> "Need":
        assert self.stages is not None and self.stages.test is not None
        test = self.stages.test.model_copy(update={"seeds": list(range(seeds))})
        return replace(self, stages=replace(self.stages, test=test))

    @property
    def first_s(self) -> float:
        """The time up to the end of the first training [s]."""
        return COMMAND_S + MARGIN * self.training_s

    @property
    def least_s(self) -> float:
        """The least time that the step takes [s]."""
        return self.compute_s(min(LEAST, self.trials))


def build_need(step: Step, config: Config, training_s: float, workers: int, trials: int) -> Need:
    """Build what a step needs from the config that its line composes."""
    if isinstance(step.stage, Train):
        return Need(step, training_s, 1)
    rungs = build_rungs(config.scheduler, config.training.evaluations, config.search.metric)
    cost = rungs.estimate_trainings(config.search.seeds_per_configuration)
    return Need(step, training_s, workers, trials, cost, plan_stages(config.search))


def divide(needs: Sequence[Need], left_s: float) -> dict[str, float]:
    """Divide a time among the steps to come: what trainings need, the rest by the shares of the searches.

    A search gets no less than it takes at least, if there is enough for all; if not, all get so much less.

    Args:
        needs: The steps to come.
        left_s: Wall clock that is left [s].

    Returns:
        Wall clock of each step [s].
    """
    trainings = {need.step.name: need.least_s for need in needs if isinstance(need.step.stage, Train)}
    searches = [need for need in needs if not isinstance(need.step.stage, Train)]
    for_searches_s = max(left_s - sum(trainings.values()), 0.0)
    least_s = sum(need.least_s for need in searches)
    enough = min(for_searches_s / least_s, 1.0) if searches else 0.0
    rest_s = for_searches_s - enough * least_s
    shares = {need.step.name: need.step.stage.share for need in searches if not isinstance(need.step.stage, Train)}
    given = {
        need.step.name: enough * need.least_s + rest_s * shares[need.step.name] / sum(shares.values())
        for need in searches
    }
    return trainings | given


def refuse_too_little(needs: Sequence[Need], left_s: float, budget_hours: float) -> None:
    """Refuse a budget that the least of each step does not fit into.

    Args:
        needs: The steps to come.
        left_s: What is left of the budget [s].
        budget_hours: The budget [h].

    Raises:
        ConfigError: Says how many generations would fit, or how many hours it takes.
    """
    needed_s = sum(need.least_s for need in needs)
    if needed_s <= left_s:
        return
    hours = f"budget_hours={budget_hours:g}"
    generations = [need for need in needs if need.step.generation is not None]
    over_s = needed_s - left_s
    fit = len(generations) - math.ceil(over_s / max((need.least_s for need in generations), default=math.inf))
    least = f"{math.ceil(100 * (needed_s - left_s + budget_hours * HOUR_S) / HOUR_S) / 100:g} h"
    if generations and fit >= 1:
        raise ConfigError(f"{_name_generations(generations)}: {hours} holds {fit}; all of them take {least}")
    raise ConfigError(f"{hours}: too little for at least {LEAST} trials of each search; this chain takes {least}")


def _name_generations(generations: Sequence[Need]) -> str:
    names = {need.step.stage_name for need in generations}
    key = "reward_generations" if names == {"reward"} else f"generations of {', '.join(sorted(names))}"
    return f"{key}={len(generations)}"


def describe_plan(needs: Sequence[Need], divided: Mapping[str, float]) -> list[str]:
    """Describe the plan: hours and trials of each step, a line each."""
    lines = []
    for need in needs:
        seconds = divided[need.step.name]
        text = f"  {need.step.name:<16} {seconds / HOUR_S:.2f} h"
        if isinstance(need.step.stage, Search):
            fit = need.count_fitting(seconds)
            text += f", {fit} trials" if fit >= need.trials else f", {fit} of {need.trials} trials fit"
        lines.append(text)
    return lines
