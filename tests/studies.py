"""Studies in memory, for tests of what is made of them."""

from datetime import datetime
from pathlib import Path

from optuna.distributions import FloatDistribution, IntDistribution

from vbot_train.analysis.verdict import TRIAL
from vbot_train.study.lives import Life
from vbot_train.study.record import StudyRecord
from vbot_train.study.trials import Study, Trial
from vbot_train.training.metrics import METRICS
from vbot_train.training.result import TrialResult

METRIC = "episode_reward_mean"
SPACE = {"ppo.learning_rate": FloatDistribution(1e-5, 1e-2, log=True), "ppo.rollouts": IntDistribution(16, 64)}
PLAN = {"confirm": {"top_k": 2, "seeds": [1001, 1002]}, "test": {"seeds": [2001, 2002], "evaluation_seed": 7}}


COST = (60.0, 1_000_000)  # of a training: wall clock [s], env steps


def screened(number, reward, *, rate=None, status="completed", seed=42, origin="proposed", cost=COST, **metrics):
    """A trial of the search."""
    params = {"ppo.learning_rate": rate or 1e-4 * (number + 1), "ppo.rollouts": 24}
    return _trial(number, params, SPACE, status, reward, seed, origin, cost, metrics)


def retrained(number, seed, reward, *, status="completed", cost=COST, **metrics):
    """A training of a later stage: of the configuration of trial ``number``."""
    return _trial(
        number, {TRIAL: number}, {TRIAL: IntDistribution(-1, 99)}, status, reward, seed, "confirm", cost, metrics
    )


def _trial(number, params, distributions, status, reward, seed, origin, cost, metrics):
    values = dict.fromkeys(METRICS, 0.5) | {METRIC: reward} | metrics
    spent = dict(zip(("wall_time_s", "env_steps"), cost, strict=True))
    result = TrialResult(status=status, trial=number, seed=seed, seeds=[seed], metrics=values, **spent)
    ended = datetime(2026, 1, 1, 12, max(number, 0))
    return Trial(number, params, distributions, result, Path("nowhere"), {}, origin, ended)


def lived_on(*hosts):
    """Lives of a trial, one on each of these hosts."""
    return tuple(Life(datetime(2026, 1, 1, 12), host=host) for host in hosts)


def study(trials, confirming=(), testing=(), metric=METRIC, **record):
    content = StudyRecord.parse({"study": "s", "metric": metric, **PLAN, **record})
    return Study(Path("s"), content, list(trials), {}, list(confirming), list(testing))
