"""Trainings of a later stage (confirm, test), and the configuration of each.

A stage is a study of its own in the search's storage, run by the same workers. It trains known configurations
(from the search, or the default) on seeds that the search did not use.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from optuna.distributions import BaseDistribution, IntDistribution

from vbot_train.analysis.ranking import drop_seed, name_configuration
from vbot_train.analysis.verdict import DEFAULT, TRIAL, Verdict
from vbot_train.config.composition import with_values
from vbot_train.search.space.initial_points import InitialPoint
from vbot_train.search.space.space import Candidate, Space
from vbot_train.study.layout import TRIALS
from vbot_train.study.plan import Plan

LARGEST = 2**31 - 1  # number of a trial


class StageSpace:
    """Space of a stage, used in place of the search's: its points are configurations known from the search.

    Args:
        space: The search's space.
        verdict: Verdict on the study so far.
        evaluation_seed: Seed of the held-out start states that the stage reports on.
    """

    def __init__(self, space: Space, verdict: Verdict, evaluation_seed: int) -> None:
        self.distributions: dict[str, BaseDistribution] = {TRIAL: IntDistribution(DEFAULT, LARGEST)}
        self.seed = space.seed
        self._space = space
        left_out = {trial.number: trial.params for trial in verdict.study.left_out if trial.stage == TRIALS}
        points = {trial.number: trial.params for trial in verdict.study.trials} | left_out  # which may be queued
        self._points = {number: drop_seed(params) for number, params in points.items()}
        self._evaluation_seed = evaluation_seed

    def compose_candidate(
        self, params: Mapping[str, Any], seed: int | None = None, *, shared: bool = False
    ) -> Candidate:
        """Compose a configuration with one training seed; see ``Space.candidate``."""
        number = params[TRIAL]
        if number == DEFAULT:
            found = self._space.compose_default(seed, shared=shared)
        else:
            found = self._space.compose_candidate(self._points[number], seed, shared=shared)
        given = {"search.seeds_per_configuration": 1, "evaluation.seed": self._evaluation_seed}
        overrides = [f"{key}={value}" for key, value in given.items()]
        shown = {"configuration": name_trial_configuration(number), "seed": found.validate().seed}
        config = with_values(found.config, given)
        return replace(found, params=shown, config=config, overrides=[*found.overrides, *overrides])


def name_trial_configuration(number: int) -> str:
    """Return a configuration's name for the user."""
    return "the default" if number == DEFAULT else name_configuration(number)


def list_trainings(stage: str, verdict: Verdict, plan: Plan) -> list[InitialPoint]:
    """List a stage's trainings, seed by seed, so that an interrupted stage has trained all equally often.

    Args:
        stage: ``confirm`` or ``test``.
        verdict: Verdict on the study so far.
        plan: The planned stages.
    """
    planned = plan.get_stage(stage)
    if planned is None or len(verdict.screened) < 2 or (stage == "test" and verdict.unconfirmed_reason is not None):
        return []
    chosen = verdict.finalists if stage == "confirm" else verdict.best_first[:1]
    numbers = [found.number for found in chosen] + ([] if stage == "confirm" else [verdict.default])
    pairs = [(number, seed) for seed in planned.seeds for number in dict.fromkeys(numbers)]
    return [InitialPoint(name_trial_configuration(number), stage, {TRIAL: number}, seed=seed) for number, seed in pairs]
