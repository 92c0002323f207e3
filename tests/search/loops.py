"""Loops at work on a study, for tests of how they share it."""

from collections import Counter
from dataclasses import dataclass

import optuna
from optuna.samplers import RandomSampler
from optuna.study import StudyDirection

from vbot_train.search.claims import Claims
from vbot_train.search.presence import Presence
from vbot_train.search.proposals import SampledProposals
from vbot_train.training.result import TrialResult

METRIC = "episode_reward_mean"


@dataclass
class Worker:
    """A loop at work on a study."""

    claims: Claims
    presence: Presence
    study: optuna.Study

    def end(self, claim, status="completed", reward=1.0, *, lived_s=1.0, cause=None, env_steps=0):
        """Tell the study that a claimed trial ended so."""
        number, seed = claim.trial.number, claim.candidate.config["seed"]
        metrics = {METRIC: reward}
        result = TrialResult(status, number, seed, metrics=metrics, cause=cause, env_steps=env_steps)
        self.claims.tell(claim, result, lived_s)

    def work(self, status="completed"):
        """Claim and end trials until there are none. Returns their points."""
        points = []
        while (claim := self.claims.claim()) is not None:
            self.end(claim, status)
            points.append(claim.candidate.params)
        return points

    def trial(self, number):
        return self.study.get_trials(deepcopy=False)[number]

    def attributes(self, number):
        return self.trial(number).user_attrs


class Same:
    """Proposes one and the same point for ever, each time after two draws that broke a rule."""

    def __init__(self, point):
        self.point = point
        self.rejected = Counter()

    def draw(self, trials, taken, index):
        self.rejected.update(["mine", "mine"])
        return self.point


def cell(rollouts, epochs):
    return {"ppo.rollouts": rollouts, "ppo.learning_epochs": epochs}


def begin(claim):
    """What a loop writes when it starts a trial."""
    claim.directory.mkdir(parents=True)
    (claim.directory / "train.log").touch()
    (claim.directory / "progress.csv").write_text("env_steps\n", encoding="utf-8")


CELLS = [cell(16, 2), cell(16, 4), cell(24, 2), cell(24, 4)]


def at_random(space):
    return SampledProposals(
        space, lambda candidate: [], RandomSampler, seed=0, direction=StudyDirection.MAXIMIZE, repeats=True
    )
