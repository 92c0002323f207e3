"""The queue from which a worker takes the next trial of a study.

Every step is taken under the study's lock and read from the study itself, so any number of workers, started and killed
at any time, share it, and no trial is lost or taken twice.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import optuna
from optuna.distributions import BaseDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from vbot_train.config.composition import ConfigError, load_recorded_config
from vbot_train.config.schema import Config
from vbot_train.search.execution.budget import Budget
from vbot_train.search.execution.recovery import recover_trials
from vbot_train.search.execution.trial_reporter import QueuedTrial, TrialReporter
from vbot_train.search.execution.worker_lock import WorkerLock
from vbot_train.search.resume import trains_to_same_result
from vbot_train.search.space.initial_points import InitialPoint
from vbot_train.search.space.proposals import Proposals
from vbot_train.search.space.sampler_study import list_told_configurations
from vbot_train.search.space.space import Candidate
from vbot_train.study.accounting import TrialCounts, identify, read_params
from vbot_train.study.attributes import HISTORY, INFEASIBLE, ORIGIN, PROMOTED, RETRY_OF, SEED, SEEDS
from vbot_train.study.layout import locate_trial
from vbot_train.study.lives import compute_runtime_s
from vbot_train.study.plan import NO_STAGES, Plan
from vbot_train.study.rungs import build_rungs, count_passed, is_first_seed
from vbot_train.study.storage import retry_while_locked
from vbot_train.training.progress import read_last_env_steps
from vbot_train.training.result import ResultError, TrialResult


class Points(Protocol):
    """The space whose points the trials are: the search's ``Space``, or a stage's list of configurations."""

    distributions: dict[str, BaseDistribution]
    seed: int

    def compose_candidate(
        self, params: Mapping[str, Any], seed: int | None = None, *, shared: bool = False
    ) -> Candidate:
        """Compose the configuration of a point."""


class TrialQueue:
    """The trial queue of a study, used by one worker.

    Args:
        study: The study.
        trials_dir: Where its trials write, each into a folder by its number.
        worker_lock: This worker's lock.
        space: What varies.
        proposals: What to try next.
        config: The composed config.
        total: Number of trials at which the search ends; every seed of a configuration is one.
        workers: Trials that this worker trains at a time.
        stages: What is trained after it; of the budget, time is kept for that.
        elsewhere: Trials of the other stages, which spent of the same budget.
        training_s: How long one training takes [s], if the other stages know.
    """

    def __init__(
        self,
        study: optuna.Study,
        trials_dir: Path,
        worker_lock: WorkerLock,
        space: Points,
        proposals: Proposals,
        *,
        config: Config,
        total: int,
        workers: int = 1,
        stages: Plan = NO_STAGES,
        elsewhere: Sequence[FrozenTrial] = (),
        training_s: float | None = None,
    ) -> None:
        self._study = study
        self._trials_dir = trials_dir
        self._worker_lock = worker_lock
        self._space = space
        self._proposals = proposals
        self._total = total
        self._workers = workers
        self._seeds = config.search.seeds_per_configuration
        self._retries = config.search.retries
        self._env_steps = config.training.env_steps
        self._rungs = build_rungs(config.scheduler, config.training.evaluations, config.search.metric)
        self._stages = stages
        self._elsewhere = elsewhere
        self.reporter = TrialReporter(study, worker_lock, config.search.metric, self._rungs, self._retries)
        self.budget = Budget(
            config.budget_hours,
            workers=workers,
            stages=stages,
            elsewhere=elsewhere,
            training_s=training_s,
            env_steps=self._env_steps,
        )
        self.others_train = False  # whether other workers trained at the last take; the trial of one that dies is free
        self.out_of_time = False  # whether a trial was not started because it cannot finish within the budget

    def enqueue(self, points: list[InitialPoint], but: Collection[int] = ()) -> None:
        """Put configurations into the queue, on those of their seeds that are not in the study yet.

        Args:
            points: The configurations.
            but: Numbers of trials that do not count, since their files cannot be read any more.
        """
        with self._worker_lock.hold():
            taken = TrialCounts(self._study.get_trials(deepcopy=False), self._retries, but, self._rungs).taken
            for point in points:
                if point.params is not None:
                    there = taken.setdefault(identify(point.params), [])
                    there += self._enqueue_point(point, point.params, there)

    def _enqueue_point(self, point: InitialPoint, params: dict[str, Any], there: Collection[int]) -> list[int]:
        """Queue one configuration on those of its seeds that are missing, and return these."""
        first = params.get("seed", self._space.seed if point.seed is None else point.seed)
        block = list(range(first, first + self._seeds))
        new = [seed for seed in block if seed not in there]
        if self._rungs:  # the others follow when the first has passed the last rung
            new = [seed for seed in new if seed == first or seed in point.histories]
        for seed in new:
            attributes: dict[str, Any] = {ORIGIN: point.origin}
            if seed in point.histories:
                attributes[HISTORY] = str(point.histories[seed].absolute())
            self._queue(params, seed, block, attributes)
        return new

    def _queue(self, params: Mapping[str, Any], seed: int, seeds: Sequence[int], attributes: Mapping[str, Any]) -> None:
        """Queue the trial that trains a configuration on one of its seeds."""
        several = {SEEDS: list(seeds)} if len(seeds) > 1 else {}
        self._add_waiting(params, {**attributes, SEED: seed, **several})

    def _add_waiting(self, params: Mapping[str, Any], attributes: dict[str, Any]) -> None:
        """Add a waiting trial with its parameters set, so that it can be taken by its number."""
        ranges = self._space.distributions
        own = {key: params[key] for key in ranges}
        self._study.add_trial(
            create_trial(state=TrialState.WAITING, params=own, distributions=ranges, user_attrs=attributes)
        )

    @retry_while_locked
    def take(self) -> QueuedTrial | None:
        """Take the next trial to train.

        The order is: interrupted trials, paused trials that have become one of the best of their rung, waiting trials,
        new proposals, retries of trials that crashed, paused trials that at least one may reach the end.

        Returns:
            The trial; None if there is none now. Another worker's trial may still be interrupted and become available.

        Raises:
            ConfigError: No feasible point was found.
        """
        with self._worker_lock.hold():
            self.others_train = recover_trials(
                self._study, self._trials_dir, self._worker_lock, self.reporter, self._space.seed
            )
            counts = self.count()
            begun = self._find_begun(counts)
            if begun is None and counts.started >= self._total:
                return None
            self.out_of_time = False
            if begun is None and not self.budget.has_time(counts, self._compute_share_of_new(counts)):
                begun = counts.find_promotable(is_last=True)
                self.out_of_time = begun is None
            if begun is not None:
                self.out_of_time = not self._has_time_for(begun, counts)
            if self.out_of_time:
                return None
            for trial, seed in counts.incomplete:
                seeds = trial.user_attrs[SEEDS]
                self._queue(read_params(trial), seed, seeds, {ORIGIN: trial.user_attrs[ORIGIN]})
            if begun is not None:
                return self._take(begun)
            if not (counts.incomplete or counts.waiting or self._propose(counts)):
                if not counts.crashed:
                    last = counts.find_promotable(is_last=True)
                    return None if last is None else self._take(last)
                self._queue_again(counts.crashed[0])
            return self._take(self.count().waiting[0])

    def _find_begun(self, counts: TrialCounts) -> FrozenTrial | None:
        """Return the trial to continue, interrupted or paused, None if there is none."""
        is_full = counts.started >= self._total
        interrupted = [trial for trial in counts.interrupted if not is_full or count_passed(trial) > 0]
        if interrupted:
            return interrupted[0]
        return counts.find_promotable() or (counts.find_promotable(is_last=True) if is_full else None)

    @retry_while_locked
    def compute_left_s(self) -> float | None:
        """Return what is left of the budget [s], None without one."""
        return self.budget.compute_left_s(self.count())

    @retry_while_locked
    def forecast(self) -> int | None:
        """Estimate how many of the study's trials will have ended when the budget is spent; None if unknown."""
        return self.budget.forecast(self.count(), self._total)

    @retry_while_locked
    def has_completed(self) -> bool:
        """Check whether any trial was completed, in any stage."""
        trials = [*self._elsewhere, *self.count().trials]
        return any(trial.state == TrialState.COMPLETE for trial in trials)

    def find_best(self) -> tuple[float, int] | None:
        """Return the value of the best configuration, a mean over its seeds, and its first trial's number, or None."""
        configurations = list_told_configurations(self.count())
        final = [told for told in configurations if told.is_final]
        values = [(told.value, told.trial.number) for told in final if told.value is not None]
        better = max if self._study.direction == StudyDirection.MAXIMIZE else min
        return better(values, key=lambda value: value[0]) if values else None

    def list_given_up(self) -> list[int]:
        """Return the numbers of the trials that were given up because they were killed."""
        return [trial.number for trial in self.count().given_up]

    @retry_while_locked
    def count_done(self) -> int:
        """Count the trials that have ended for good or are paused, and the seeds that a paused one leaves untrained."""
        counts = self.count()
        return counts.started - sum(trial.state == TrialState.RUNNING for trial in counts.counted)

    @retry_while_locked
    def count(self) -> TrialCounts:
        """Count the study's trials."""
        return TrialCounts(self._study.get_trials(deepcopy=False), self._retries, rungs=self._rungs)

    def _compute_share_of_new(self, counts: TrialCounts) -> float:
        """Return the share of a training for which a new trial needs time: a rest is kept for one to reach the end."""
        is_other_seed = bool(counts.incomplete or (counts.waiting and not is_first_seed(counts.waiting[0])))
        if is_other_seed or not self._rungs.has_finisher(counts.counted):
            return 1.0
        return self._rungs.get_share(1)

    def _has_time_for(self, begun: FrozenTrial, counts: TrialCounts) -> bool:
        """Check whether a trial can go on to its next rung in the time left, at its own pace.

        The first to go on to the end may use the time reserved for confirming: without it there is nothing to confirm.
        """
        next_rung = max(count_passed(begun), self._rungs.count_reached(begun)) + 1
        done = read_last_env_steps(self.locate_trial_directory(begun.number)) / self._env_steps
        share = max(self._rungs.get_share(next_rung) - done, 0.0)
        training_s = compute_runtime_s(begun) / done if done else None
        others = [trial for trial in counts.counted if trial.number != begun.number]
        is_first = bool(self._rungs) and not self._rungs.has_finisher(others)
        return self.budget.has_time(counts, share, training_s, uses_reserve=is_first)

    def _queue_again(self, trial: FrozenTrial) -> None:
        kept = {key: trial.user_attrs[key] for key in (ORIGIN, SEED, SEEDS, HISTORY) if key in trial.user_attrs}
        self._add_waiting(read_params(trial), {**kept, RETRY_OF: trial.number})

    def _propose(self, counts: TrialCounts) -> bool:
        """Queue the next proposal. Returns False if the search is complete or no proposal is left."""
        if counts.promised >= self._total:
            return False
        params = self._proposals.draw(counts.trials, counts.taken, counts.proposals)
        self._count_rejected()
        if params is None:
            return False
        seeds = self._choose_free_seeds(params, counts.list_reserved_seeds(params))
        for seed in seeds[:1] if self._rungs else seeds:
            self._queue(params, seed, seeds, {ORIGIN: "proposed"})
        return True

    def _choose_free_seeds(self, params: Mapping[str, Any], taken: Collection[int]) -> list[int]:
        """Return the seeds for a configuration: the first ones that neither it nor a later stage uses."""
        if "seed" in params:
            return [params["seed"]]
        first, used = self._space.seed, {*taken, *self._stages.seeds}
        while used.intersection(range(first, first + self._seeds)):
            first += 1
        return list(range(first, first + self._seeds))

    def _count_rejected(self) -> None:
        if self._proposals.rejected:
            total = Counter(self._study.user_attrs.get(INFEASIBLE, {})) + self._proposals.rejected
            self._study.set_user_attr(INFEASIBLE, dict(total))
            self._proposals.rejected.clear()

    def _take(self, frozen: FrozenTrial) -> QueuedTrial:
        """Start a waiting trial, or continue an interrupted one."""
        trial = optuna.Trial(self._study, frozen._trial_id)
        if self._rungs.is_paused(frozen):
            trial.set_user_attr(PROMOTED, self._rungs.count_reached(frozen))
        self.reporter.begin(trial)
        # Last, so that the trial still waits if an earlier step has failed and is repeated.
        self._study._storage.set_trial_state_values(frozen._trial_id, TrialState.RUNNING)
        shared = self._workers > 1 or self._worker_lock.shares_host()
        candidate = self._space.compose_candidate(read_params(frozen), trial.user_attrs.get(SEED), shared=shared)
        history = trial.user_attrs.get(HISTORY)
        source = None if history is None else Path(history)
        if source is not None and not _is_trained_on(source, candidate):
            source = None
        return QueuedTrial(
            trial, candidate, self.locate_trial_directory(trial.number), source, compute_runtime_s(frozen)
        )

    def locate_trial_directory(self, number: int) -> Path:
        """Return the directory of a trial."""
        return locate_trial(self._trials_dir, number)


def _is_trained_on(directory: Path, candidate: Candidate) -> bool:
    """Check whether the trial in a directory has a result and was trained on exactly this candidate's configuration."""
    try:
        TrialResult.load(directory)
        return trains_to_same_result(load_recorded_config(directory), candidate.config)
    except (ConfigError, ResultError, KeyError):
        return False
