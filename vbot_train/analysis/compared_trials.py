"""The trials whose values show what mattered: at the end of the training, or at a rung where most were compared.

A scheduler lets only the best finish. Their values alone would say what matters among the survivors.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from vbot_train.study.rungs import Rungs
from vbot_train.study.trials import Study, Trial

MOST = 0.8  # share of the configurations with a value that must have reached a rung


@dataclass(frozen=True, slots=True)
class ComparedTrials:
    """Trials with their values at one point of the training."""

    trials: list[Trial]
    share: float  # of the training; 1: its end

    @property
    def where(self) -> str:
        """The point of the training as text, empty for its end."""
        return "" if self.share == 1 else f", at {self.share:.0%} of the training"


def choose_compared_trials(study: Study, metric: str) -> ComparedTrials:
    """Return the trials at the highest rung that most configurations have reached, the end included.

    Those that diverged, or were lost otherwise, are left out at a rung as at the end. Only the optimized metric has
    values at the rungs; another one is compared at the end.
    """
    rungs, at_end = study.record.rungs, study.rank(metric)
    enough = MOST * (len(at_end) + len(study.paused))
    if metric != study.record.metric or len(at_end) >= enough:
        return ComparedTrials(at_end, 1.0)
    for rung in range(len(rungs), 0, -1):
        there = list(_list_at(rung, rungs, [*at_end, *study.paused], metric))
        if len(there) >= enough or rung == 1:
            return ComparedTrials(there, rungs.get_share(rung))
    return ComparedTrials(at_end, 1.0)


def _list_at(rung: int, rungs: Rungs, trials: Iterable[Trial], metric: str) -> Iterator[Trial]:
    """Yield the trials that have reached a rung, with the value by which the search compared them there."""
    for trial in trials:
        if rungs.evaluations[rung - 1] not in trial.intermediate:
            continue
        value = rungs.find_best(trial.intermediate, rung)
        if math.isfinite(value):
            result = replace(trial.result, status="completed", metrics={metric: value})
            yield replace(trial, result=result, seed_runs={})
