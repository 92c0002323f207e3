"""Loops at work on a study, for tests of how they share it."""

from collections import Counter
from dataclasses import dataclass
from types import SimpleNamespace

import optuna
from optuna.samplers import RandomSampler
from optuna.study import StudyDirection

from vbot_train.search.execution.trial_queue import TrialQueue
from vbot_train.search.execution.worker_lock import WorkerLock
from vbot_train.search.space.proposals import SampledProposals
from vbot_train.training.result import RESUMABLE, TrialResult

METRIC = "episode_reward_mean"


@dataclass
class Worker:
    """A worker at work on a study."""

    queue: TrialQueue
    worker_lock: WorkerLock
    study: optuna.Study

    def end(self, queued, status="completed", reward=1.0, *, lived_s=1.0, cause=None, env_steps=0):
        """Tell the study that a taken trial ended so."""
        number, seed = queued.trial.number, queued.candidate.config["seed"]
        metrics = {METRIC: reward}
        if status in RESUMABLE:
            process = ended_process(asked=(status, cause), runtime_s=lived_s, env_steps=env_steps)
            assert self.queue.reporter.end(queued, process) is None
            return
        result = TrialResult(status, number, seed, metrics=metrics, cause=cause, env_steps=env_steps)
        self.queue.reporter.tell(queued, result, lived_s, env_steps=env_steps)

    def work(self, status="completed"):
        """Take and end trials until there are none. Returns their points."""
        points = []
        while (queued := self.queue.take()) is not None:
            self.end(queued, status)
            points.append(queued.candidate.params)
        return points

    def trial(self, number):
        return self.study.get_trials(deepcopy=False)[number]

    def attributes(self, number):
        return self.trial(number).user_attrs


def ended_process(*, asked=None, runtime_s=1.0, env_steps=0, was_killed=False, has_advanced=False):
    """What is left of a trial's process that has ended without a result."""
    return SimpleNamespace(
        asked=asked,
        runtime_s=runtime_s,
        env_steps=env_steps,
        was_killed=was_killed,
        has_advanced=has_advanced,
        disk_fault=None,
        describe_end=lambda: "the trial's process was killed (signal 9); out of memory?",
    )


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


def begin(queued):
    """What a worker writes when it starts a trial."""
    queued.directory.mkdir(parents=True, exist_ok=True)
    (queued.directory / "train.log").touch()
    (queued.directory / "progress.csv").write_text("env_steps\n", encoding="utf-8")


CELLS = [cell(16, 2), cell(16, 4), cell(24, 2), cell(24, 4)]


def at_random(space):
    return SampledProposals(
        space, lambda candidate: [], RandomSampler, seed=0, direction=StudyDirection.MAXIMIZE, repeats=True
    )
