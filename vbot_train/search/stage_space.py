"""The trainings of a later stage: which, and on what configuration each.

A stage is a study of its own beside the search's, in the same storage, worked on by the same workers. It trains
configurations that are there already, each on seeds that the search did not use.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from optuna.distributions import BaseDistribution, IntDistribution

from vbot_train.analysis.ranking import drop_seed, name_configuration
from vbot_train.analysis.stages import DEFAULT, TRIAL, Verdict
from vbot_train.search.space.initial_points import InitialPoint
from vbot_train.search.space.space import Candidate, Space
from vbot_train.search.stages import Plan
from vbot_train.study.layout import TRIALS

LARGEST = 2**31 - 1  # number of a trial


class StageSpace:
    """Stands in for the search's space in a stage: its points are configurations that the search has tried.

    Args:
        space: The search's.
        verdict: On the study so far.
        evaluation_seed: Of the held-out starts that the stage reports on.
    """

    def __init__(self, space: Space, verdict: Verdict, evaluation_seed: int) -> None:
        self.distributions: dict[str, BaseDistribution] = {TRIAL: IntDistribution(DEFAULT, LARGEST)}
        self.seed = space.seed
        self._space = space
        left_out = {trial.number: trial.params for trial in verdict.study.left_out if trial.stage == TRIALS}  # may wait
        points = {trial.number: trial.params for trial in verdict.study.trials} | left_out
        self._points = {number: drop_seed(params) for number, params in points.items()}
        self._evaluation_seed = evaluation_seed

    def candidate(self, params: Mapping[str, Any], seed: int | None = None, *, shared: bool = False) -> Candidate:
        """A configuration on one training seed; ``Space.candidate`` says more."""
        number = params[TRIAL]
        if number == DEFAULT:
            found = self._space.default(seed, shared=shared)
        else:
            found = self._space.candidate(self._points[number], seed, shared=shared)
        given = {"search": {"seeds_per_configuration": 1}, "evaluation": {"seed": self._evaluation_seed}}
        config = found.config | {group: found.config[group] | values for group, values in given.items()}
        overrides = [f"{group}.{key}={value}" for group, values in given.items() for key, value in values.items()]
        shown = {"configuration": name_configuration_of(number), "seed": found.config["seed"]}
        return replace(found, params=shown, config=config, overrides=[*found.overrides, *overrides])


def name_configuration_of(number: int) -> str:
    """A configuration's name, for people."""
    return "the default" if number == DEFAULT else name_configuration(number)


def list_trainings(stage: str, verdict: Verdict, plan: Plan) -> list[InitialPoint]:
    """The trainings of a stage, seed by seed: cut short, it has seen as much of each configuration.

    Args:
        stage: ``confirm`` or ``test``.
        verdict: On the study so far.
        plan: The stages.
    """
    settings = plan.of(stage)
    if settings is None or len(verdict.screened) < 2 or (stage == "test" and verdict.unconfirmed_reason is not None):
        return []
    chosen = verdict.finalists if stage == "confirm" else verdict.best_first[:1]
    numbers = [found.number for found in chosen] + ([] if stage == "confirm" else [verdict.default])
    pairs = [(number, seed) for seed in settings["seeds"] for number in dict.fromkeys(numbers)]
    return [InitialPoint(name_configuration_of(number), stage, {TRIAL: number}, seed=seed) for number, seed in pairs]
