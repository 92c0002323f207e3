"""Rungs at which a search compares unfinished trials: which of them wait there, and which go on.

Asynchronous successive halving (Li et al. 2020, https://arxiv.org/abs/1810.05934), but a trial that is not among the
best of its rung is paused, and goes on as soon as it is. Trials are compared by their best held-out value so far, which
says more of the end of a training than the last one (LOG.md, 2026-11-27). Everything is derived from the trials in the
study: a trial has reached a rung if it has a value there, and has passed those rungs from which it was promoted.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from optuna.trial import FrozenTrial, TrialState

from vbot_train.config.schema import Scheduler
from vbot_train.study.attributes import PROMOTED, SEED, SEEDS
from vbot_train.study.recorded_settings import RecordedScheduler
from vbot_train.training.metrics import METRICS


@dataclass(frozen=True, slots=True)
class Rungs:
    """The rungs of a study; without any, every trial trains to its end.

    Rungs are counted from 1. With several seeds per configuration, only its first seed is compared.
    """

    evaluations: tuple[int, ...] = ()  # number of the held-out evaluation at which each rung lies, increasing
    evaluations_per_trial: int = 1
    reduction_factor: int = 3  # of the trials at a rung, the best 1 in so many go on
    sign: int = 1  # factor after which a higher value is better

    def estimate_trainings(self, seeds: int) -> float:
        """Estimate the whole trainings that a configuration costs: those of its other seeds if the first goes on."""
        return self.mean_share + (seeds - 1) / self.reduction_factor ** len(self)

    def __str__(self) -> str:
        shares = ", ".join(f"{self.get_share(rung):.0%}" for rung in range(1, len(self) + 1))
        go_on = f"the best 1 in {self.reduction_factor} go on at {shares} of a training"
        return f"trials are paused and promoted: {go_on}, {self.mean_share:.2f} trainings per trial"

    def __len__(self) -> int:
        return len(self.evaluations)

    def find_rung(self, evaluation: int) -> int | None:
        """Return the rung that lies at an evaluation, None if there is none."""
        return self.evaluations.index(evaluation) + 1 if evaluation in self.evaluations else None

    def get_share(self, rung: int) -> float:
        """Return the share of a training up to a rung; the whole training beyond the last one."""
        return 1.0 if rung > len(self) else self.evaluations[rung - 1] / self.evaluations_per_trial

    @property
    def mean_share(self) -> float:
        """Share of a training that a trial has on average, if exactly the best 1 in so many pass each rung."""
        shares = [0.0, *(self.get_share(rung) for rung in range(1, len(self) + 2))]
        return sum((end - start) / self.reduction_factor**k for k, (start, end) in enumerate(pairwise(shares)))

    def count_reached(self, trial: FrozenTrial) -> int:
        """Return the highest rung at which a trial has a value, 0 if none.

        It may lack one at a lower rung: its worker died before it could report that.
        """
        numbers = enumerate(self.evaluations, start=1) if is_first_seed(trial) else ()
        return max((rung for rung, evaluation in numbers if evaluation in trial.intermediate_values), default=0)

    def is_paused(self, trial: FrozenTrial) -> bool:
        """Check whether a trial waits at a rung."""
        return trial.state == TrialState.WAITING and self.count_reached(trial) > count_passed(trial)

    def has_passed_all(self, trial: FrozenTrial) -> bool:
        """Check whether a trial has passed the last rung, or is completed."""
        return trial.state == TrialState.COMPLETE or count_passed(trial) >= len(self)

    def is_among_best(self, trial: FrozenTrial, trials: Sequence[FrozenTrial], lost: set[int]) -> bool:
        """Check whether a trial is among the best of each rung that it has reached and not passed.

        Args:
            trial: The trial.
            trials: The trials that count, the trial included.
            lost: Numbers of those that have ended for good without a value; they are worse than all others.
        """
        rungs = range(count_passed(trial) + 1, self.count_reached(trial) + 1)
        compared = [rung for rung in rungs if self.evaluations[rung - 1] in trial.intermediate_values]
        return all(trial.number in self._list_best(rung, trials, lost) for rung in compared)

    def find_promotable(self, trials: Sequence[FrozenTrial], lost: set[int]) -> FrozenTrial | None:
        """Return the paused trial to continue: one of the best of its rung, at the highest rung that has one."""
        paused = {trial.number: trial for trial in trials if self.is_paused(trial)}
        for rung in range(len(self), 0, -1):
            for number in self._list_best(rung, trials, lost):
                trial = paused.get(number)
                is_there = trial is not None and self.count_reached(trial) == rung
                if trial is not None and is_there and self.is_among_best(trial, trials, lost):
                    return trial
        return None

    def find_sole_finisher(self, trials: Sequence[FrozenTrial]) -> FrozenTrial | None:
        """Return the paused trial to continue when no other will be started: so that at least one reaches the end.

        It is the best at the lowest rung from which no other trial has gone on, once all that run have arrived there.
        """
        running = [trial for trial in trials if trial.state == TrialState.RUNNING and is_first_seed(trial)]
        for rung in range(1, len(self) + 1):
            if any(self.count_reached(trial) < rung for trial in running):
                return None
            if any(self._has_gone_on(trial, rung) for trial in trials):
                continue
            waiting = [trial for trial in self._list_at(rung, trials) if self.is_paused(trial)]
            return max(waiting, key=self._build_order(rung), default=None)
        return None

    def has_finisher(self, trials: Sequence[FrozenTrial]) -> bool:
        """Check whether a trial has reached the end, or is on its way there from the last rung."""
        return any(self._has_gone_on(trial, len(self)) for trial in trials)

    def _has_gone_on(self, trial: FrozenTrial, rung: int) -> bool:
        """Check whether a trial is beyond a rung, and not lost or given up."""
        return trial.state == TrialState.COMPLETE or (trial.state != TrialState.FAIL and count_passed(trial) >= rung)

    def find_best(self, values: Mapping[int, float], rung: int | None = None) -> float:
        """Return the best of a trial's values, given by the number of the evaluation, up to a rung if one is given."""
        last = max(values) if rung is None else self.evaluations[rung - 1]
        return self.sign * max(self.sign * value for at, value in values.items() if at <= last)

    def _list_at(self, rung: int, trials: Sequence[FrozenTrial]) -> Iterator[FrozenTrial]:
        evaluation = self.evaluations[rung - 1]
        return (trial for trial in trials if is_first_seed(trial) and evaluation in trial.intermediate_values)

    def _list_best(self, rung: int, trials: Sequence[FrozenTrial], lost: set[int]) -> list[int]:
        """List the numbers of the trials that may pass a rung, best first. Lost ones count among those that came."""
        there = sorted(self._list_at(rung, trials), key=self._build_order(rung), reverse=True)
        came = len(there) + sum(
            trial.number in lost and count_passed(trial) == rung - 1 and self.count_reached(trial) < rung
            for trial in trials
            if is_first_seed(trial)
        )
        return [trial.number for trial in there[: came // self.reduction_factor]]

    def _build_order(self, rung: int) -> Callable[[FrozenTrial], tuple[float, int]]:
        """Return the sort key at a rung: a higher key is better; of two equal values the older trial's is."""
        return lambda trial: (self.sign * self.find_best(trial.intermediate_values, rung), -trial.number)


NO_RUNGS = Rungs()


def build_rungs(scheduler: Scheduler | RecordedScheduler, evaluations: int, metric: str) -> Rungs:
    """Build the rungs of a study; one at the end of a training compares nothing.

    Args:
        scheduler: The scheduler's settings.
        evaluations: Held-out evaluations of a training.
        metric: What the study optimizes.
    """
    numbers = tuple(round(share * evaluations) for share in scheduler.rungs if share < 1)
    return Rungs(numbers, evaluations, scheduler.reduction_factor, METRICS[metric].sign)


def count_passed(trial: FrozenTrial) -> int:
    """Return the number of rungs from which a trial was promoted."""
    passed: int = trial.user_attrs.get(PROMOTED, 0)
    return passed


def is_first_seed(trial: FrozenTrial) -> bool:
    """Check whether a trial trains the first seed of its configuration."""
    seeds = trial.user_attrs.get(SEEDS)
    return seeds is None or trial.user_attrs[SEED] == seeds[0]
