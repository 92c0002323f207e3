"""The queue of a study's trials: a worker takes one, and tells the study what came of it.

Every step is taken under the study's lock and read from the study itself, so any number of workers, started and killed
at any time, share it, and no trial is lost or taken twice.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import optuna
from optuna.distributions import BaseDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from vbot_train.config.composition import ConfigError, load_recorded_config
from vbot_train.search.execution import budget
from vbot_train.search.execution.fallback import KILLED_CAUSE, last_life_s, result_or_fallback
from vbot_train.search.execution.trial_process import TrialProcess
from vbot_train.search.execution.worker_lock import WorkerLock, host_of
from vbot_train.search.resume import same_result
from vbot_train.search.space.distributions import holds
from vbot_train.search.space.initial_points import InitialPoint
from vbot_train.search.space.proposals import Proposals
from vbot_train.search.space.space import Candidate
from vbot_train.search.stages import NO_STAGES, Plan
from vbot_train.study.accounting import (
    CAUSE,
    HISTORY,
    LOOP,
    ORIGIN,
    RETRY_OF,
    SEED,
    SEEDS,
    STATUS,
    TrialCounts,
    identity,
    params_of,
)
from vbot_train.study.lives import begin_life, end_life, lives_of, note_start, runtime_s
from vbot_train.study.storage import retry_while_locked
from vbot_train.study.trials import is_own
from vbot_train.training.progress import last_env_steps
from vbot_train.training.result import FILE_NAME, ResultError, TrialResult
from vbot_train.training.run_directory import has_owner


@dataclass(frozen=True, slots=True)
class QueuedTrial:
    """A trial that this loop is to train."""

    trial: optuna.Trial
    candidate: Candidate
    directory: Path
    history: Path | None  # a finished trial of just this configuration: its result is taken over
    earlier_s: float = 0.0  # how long it ran before it was interrupted [s]


class Points(Protocol):
    """What the trials of a study are points of: a ``Space``, or the configurations that it has led to."""

    distributions: dict[str, BaseDistribution]
    seed: int

    def candidate(self, params: Mapping[str, Any], seed: int | None = None, *, shared: bool = False) -> Candidate:
        """The configuration of a point."""


class TrialQueue:
    """One loop's dealings with the study.

    Args:
        study: The study.
        trials_dir: Where its trials write, each into a folder by its number.
        presence: This loop's presence at it.
        space: What varies.
        proposals: What to try next.
        job: The composed config.
        total: Number of trials at which the search ends; every seed of a configuration is one.
        workers: Trials that this loop trains at a time.
        stages: What is trained after it; of the budget, time is kept for that.
        elsewhere: Trials of the other stages, which spent of the same budget.
        training_s: How long one training takes [s], if the other stages know.
    """

    def __init__(
        self,
        study: optuna.Study,
        trials_dir: Path,
        presence: WorkerLock,
        space: Points,
        proposals: Proposals,
        *,
        job: Mapping[str, Any],
        total: int,
        workers: int = 1,
        stages: Plan = NO_STAGES,
        elsewhere: Sequence[FrozenTrial] = (),
        training_s: float | None = None,
    ) -> None:
        self._study = study
        self._trials_dir = trials_dir
        self._presence = presence
        self._space = space
        self._proposals = proposals
        self._total = total
        self._workers = workers
        self._metric = job["search"]["metric"]
        self._seeds = job["search"]["seeds_per_configuration"]
        self._retries = job["search"]["retries"]
        self._env_steps = job["training"]["env_steps"]
        self._budget_s = None if job["budget_hours"] is None else job["budget_hours"] * budget.HOUR_S
        self._stages = stages
        self._elsewhere = elsewhere
        self._training_s = training_s
        self.others_train = False  # whether living loops did at the last claim: if one dies, its trial is anybody's
        self.out_of_time = False  # whether a trial was not started because it cannot finish within the budget

    def enqueue(self, points: list[InitialPoint], but: Collection[int] = ()) -> None:
        """Put configurations into the queue, on those of their seeds that are not in the study yet.

        Args:
            points: The configurations.
            but: Numbers of trials that do not count, since their files cannot be read any more.
        """
        with self._presence.lock():
            taken = TrialCounts(self._study.get_trials(deepcopy=False), self._retries, but).taken
            for point in points:
                if point.params is not None:
                    there = taken.setdefault(identity(point.params), [])
                    there += self._enqueue_point(point, point.params, there)

    def _enqueue_point(self, point: InitialPoint, params: dict[str, Any], there: Collection[int]) -> list[int]:
        """Queue one configuration. Returns its new seeds."""
        first = params.get("seed", self._space.seed if point.seed is None else point.seed)
        block = list(range(first, first + self._seeds))
        new = [seed for seed in dict.fromkeys([*block, *point.histories]) if seed not in there]
        for seed in new:
            attributes: dict[str, Any] = {ORIGIN: point.origin}
            if seed in point.histories:
                attributes[HISTORY] = str(point.histories[seed].absolute())
            self._queue(params, seed, block if seed in block else [seed], attributes)
        return new

    def _queue(self, params: Mapping[str, Any], seed: int, seeds: Sequence[int], attributes: Mapping[str, Any]) -> None:
        """Queue a trial of a configuration that is trained on these seeds."""
        several = {SEEDS: list(seeds)} if len(seeds) > 1 else {}
        queue_trial(self._study, params, self._space.distributions, {**attributes, SEED: seed, **several})

    @retry_while_locked
    def claim(self) -> QueuedTrial | None:
        """The next trial to train, None if there is none now: another loop's may still have to be trained again.

        In this order: what was interrupted and what waits in the queue, new proposals, what crashed.

        Raises:
            ConfigError: No feasible point was found.
        """
        with self._presence.lock():
            self.others_train = self._recover()
            self._refuse_foreign()
            counts = self._ledger()
            if counts.started >= self._total or not self._has_time(counts):
                return None
            for trial in counts.owed_by_older:
                self._queue_again(trial)
            for trial, seed in counts.incomplete:
                seeds = trial.user_attrs[SEEDS]
                self._queue(params_of(trial), seed, seeds, {ORIGIN: trial.user_attrs[ORIGIN]})
            if counts.interrupted:
                return self._take(counts.interrupted[0])
            if not (counts.owed_by_older or counts.incomplete or counts.waiting or self._propose(counts)):
                if not counts.crashed:
                    return None
                self._queue_again(counts.crashed[0])
            return self._take(self._ledger().waiting[0])

    @retry_while_locked
    def note_start(self, claim: QueuedTrial, from_env_steps: int) -> None:
        """Tell the study where a trial begins to train, or continues."""
        with self._presence.lock():
            note_start(claim.trial, from_env_steps)

    @retry_while_locked
    def report(self, claim: QueuedTrial, step: int, value: float) -> bool:
        """Tell the study of a held-out value on the way. Returns whether the pruner ends the trial.

        Args:
            claim: The trial.
            step: Held-out evaluations so far.
            value: Of the metric.
        """
        with self._presence.lock():
            if step in self._read(claim.trial).intermediate_values:  # before it was interrupted
                return False
            claim.trial.report(value, step)
            return claim.trial.should_prune()

    @retry_while_locked
    def end(self, claim: QueuedTrial, process: TrialProcess) -> TrialResult | None:
        """Tell the study of a trial whose process has ended.

        Returns:
            Its result; None if it was interrupted, and waits to be continued.
        """
        status, cause = process.asked or ("failed", process.describe_end())
        seconds = process.runtime_s
        with self._presence.lock():
            has_result = (claim.directory / FILE_NAME).exists()
            is_given_up = process.was_killed and not has_result and _is_killed_again(claim.trial, process)
            if not has_result and not is_given_up and (status == "interrupted" or process.was_killed):
                self._put_back(claim.trial, cause, seconds, process.env_steps, killed=process.was_killed)
                return None
            if is_given_up:
                cause = f"{cause}; twice, without a new state in between"
            result = result_or_fallback(
                claim.directory,
                status,
                cause,
                trial=claim.trial.number,
                seed=claim.candidate.config["seed"],
                wall_time_s=claim.earlier_s + seconds,
            )
            env_steps = max(result.env_steps, process.env_steps)
            self.tell(claim, result, seconds, env_steps=env_steps, killed=is_given_up)
            return result

    @retry_while_locked
    def tell(
        self, claim: QueuedTrial, result: TrialResult, runtime_s: float, *, env_steps: int, killed: bool = False
    ) -> None:
        """Tell the study what came of a trial, unless it belongs to another worker by now.

        Args:
            claim: The trial.
            result: Its result.
            runtime_s: How long its last life was [s].
            env_steps: Of the training at its end.
            killed: Whether it is given up because it was killed.
        """
        with self._presence.lock():
            if self._is_ours(claim.trial):
                end_life(claim.trial, runtime_s, 0 if claim.history is not None else env_steps, killed=killed)
                self._tell(claim.trial, result)

    @retry_while_locked
    def forecast(self) -> int | None:
        """How many of the study's trials will have ended when the budget is spent; None if that is open."""
        counts = self._ledger()
        trial_s = self._trial_s(counts)
        left_s = self.left_s(counts)
        if left_s is None or trial_s is None:
            return None
        left_s -= self._kept_s(counts)
        running = sum(trial.state == TrialState.RUNNING for trial in counts.counted)
        done = counts.started - running
        workers = max(self._workers, running)
        fit = budget.fitting(done=done, running=running, left_s=left_s, trial_s=trial_s, workers=workers)
        return min(fit, self._total)

    @retry_while_locked
    def left_s(self, counts: TrialCounts | None = None) -> float | None:
        """What is left of the budget [s], None without one."""
        if self._budget_s is None:
            return None
        trials = [*self._elsewhere, *(counts or self._ledger()).trials]
        return self._budget_s - budget.spent_s(trials, datetime.now(UTC))

    @retry_while_locked
    def has_completed(self) -> bool:
        """Whether any trial of the study was completed, in whatever stage."""
        trials = [*self._elsewhere, *self._ledger().trials]
        return any(trial.state == TrialState.COMPLETE for trial in trials)

    def best(self) -> tuple[float, int] | None:
        """Value and number of the best trial, None before the first."""
        trials = [trial for trial in self._ledger().trials if trial.state == TrialState.COMPLETE]
        values = [(trial.value, trial.number) for trial in trials if trial.value is not None]
        better = max if self._study.direction == StudyDirection.MAXIMIZE else min
        return better(values, key=lambda value: value[0]) if values else None

    def given_up(self) -> list[int]:
        """Numbers of the trials that are not trained again although they were interrupted."""
        return [trial.number for trial in self._ledger().given_up]

    @retry_while_locked
    def done(self) -> int:
        """Trials that have ended for good."""
        counts = self._ledger()
        return counts.started - sum(trial.state == TrialState.RUNNING for trial in counts.counted)

    def _ledger(self) -> TrialCounts:
        return TrialCounts(self._study.get_trials(deepcopy=False), self._retries)

    def _has_time(self, counts: TrialCounts) -> bool:
        left_s = self.left_s(counts)
        needed_s = (self._trial_s(counts) or 0.0) * self._share_left(counts) + self._kept_s(counts)
        self.out_of_time = left_s is not None and left_s <= needed_s
        return not self.out_of_time

    def _share_left(self, counts: TrialCounts) -> float:
        """Which share of its training the next trial has still before it."""
        if not counts.interrupted:
            return 1.0
        done = last_env_steps(self.trial_directory(counts.interrupted[0].number))
        return max(1 - done / self._env_steps, 0.0)

    def _trial_s(self, counts: TrialCounts) -> float | None:
        """How long a trial takes [s], None before that is known."""
        return budget.expected_s(counts.trials) or self._training_s

    def _kept_s(self, counts: TrialCounts) -> float:
        """Time kept for the later stages [s]."""
        later = self._stages.trainings - sum(trial.state.is_finished() for trial in self._elsewhere)
        kept_s = budget.rounds(max(later, 0), self._workers) * (self._trial_s(counts) or 0.0)
        return min(kept_s, (self._budget_s or 0.0) * budget.MOST_KEPT)

    def _queue_again(self, trial: FrozenTrial) -> None:
        kept = {key: trial.user_attrs[key] for key in (ORIGIN, SEED, SEEDS, HISTORY) if key in trial.user_attrs}
        queue_trial(self._study, params_of(trial), self._space.distributions, {**kept, RETRY_OF: trial.number})

    def _propose(self, counts: TrialCounts) -> bool:
        """Queue a new proposal. Returns whether there was room for one, and one left."""
        if counts.promised >= self._total:
            return False
        params = self._proposals.draw(counts.trials, counts.taken, counts.proposals)
        self._count_rejected()
        if params is None:
            return False
        seeds = self._free_seeds(params, counts.taken.get(identity(params), []))
        for seed in seeds:
            self._queue(params, seed, seeds, {ORIGIN: "proposed"})
        return True

    def _free_seeds(self, params: Mapping[str, Any], taken: Collection[int]) -> list[int]:
        """Seeds to train a configuration on: the search's own, or the next ones that neither it nor a stage uses."""
        if "seed" in params:
            return [params["seed"]]
        first, used = self._space.seed, {*taken, *self._stages.seeds}
        while used.intersection(range(first, first + self._seeds)):
            first += 1
        return list(range(first, first + self._seeds))

    def _count_rejected(self) -> None:
        if self._proposals.rejected:
            total = Counter(self._study.user_attrs.get("infeasible", {})) + self._proposals.rejected
            self._study.set_user_attr("infeasible", dict(total))
            self._proposals.rejected.clear()

    def _take(self, frozen: FrozenTrial) -> QueuedTrial:
        """Begin a trial that waits, or continue one."""
        self._study._storage.set_trial_state_values(frozen._trial_id, TrialState.RUNNING)
        self._set_params(frozen)
        trial = optuna.Trial(self._study, frozen._trial_id)
        trial.set_user_attr(LOOP, self._presence.name)
        begin_life(trial, host_of(self._presence.name))
        shared = self._workers > 1 or self._presence.shares_host()
        candidate = self._space.candidate(params_of(frozen), trial.user_attrs.get(SEED), shared=shared)
        history = trial.user_attrs.get(HISTORY)
        source = None if history is None else Path(history)
        if source is not None and not _is_trained_on(source, candidate):
            source = None
        return QueuedTrial(trial, candidate, self.trial_directory(trial.number), source, runtime_s(frozen))

    def _set_params(self, frozen: FrozenTrial) -> None:
        """Write down the parameters of a trial that a script queued, which only Optuna's own ``ask`` would do."""
        for key, value in params_of(frozen).items():
            if key not in frozen.params:
                ranges = self._space.distributions[key]
                self._study._storage.set_trial_param(frozen._trial_id, key, ranges.to_internal_repr(value), ranges)

    def _put_back(self, trial: optuna.Trial, cause: str, runtime_s: float, env_steps: int, *, killed: bool) -> None:
        """Let an interrupted trial wait to be continued, under its number and in its directory."""
        if not self._is_ours(trial):
            return
        end_life(trial, runtime_s, env_steps, killed=killed)
        trial.set_user_attr(STATUS, "interrupted")
        trial.set_user_attr(CAUSE, cause)
        self._study._storage.set_trial_state_values(trial._trial_id, TrialState.WAITING)

    def _is_ours(self, trial: optuna.Trial) -> bool:
        """Whether a trial still belongs to this worker."""
        now = self._read(trial)
        return now.state == TrialState.RUNNING and now.user_attrs.get(LOOP) == self._presence.name

    def _read(self, trial: optuna.Trial) -> FrozenTrial:
        return self._study._storage.get_trial(trial._trial_id)

    def trial_directory(self, number: int) -> Path:
        """Where a trial writes."""
        return self._trials_dir / f"{number:03d}"

    def _recover(self) -> bool:
        """Settle the trials of loops that died. Returns whether others train something.

        A trial's process takes a moment to notice that its loop has died; until then its directory is its own.
        """
        others_train = False
        running = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        for trial in (trial for trial in running if is_own(trial)):
            loop = trial.user_attrs.get(LOOP)
            if self._presence.is_alive(loop) or has_owner(self.trial_directory(trial.number)):
                others_train = others_train or loop != self._presence.name
            else:
                self._recover_trial(trial)
        return others_train

    def _refuse_foreign(self) -> None:
        """Take out of the queue what a script put there and is no point of the space: to ask for it is an error."""
        ranges = self._space.distributions
        waiting = self._study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
        for trial in (trial for trial in waiting if ORIGIN not in trial.user_attrs):
            params = params_of(trial)
            if params.keys() != ranges.keys() or not all(holds(ranges[key], params[key]) for key in params):
                self._study._storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)

    def _recover_trial(self, frozen: FrozenTrial) -> None:
        """Take over a trial whose worker died: it keeps its result if it has one, else it waits to be continued."""
        trial = optuna.Trial(self._study, frozen._trial_id)
        trial.set_user_attr(LOOP, self._presence.name)
        directory = self.trial_directory(frozen.number)
        seconds, env_steps = last_life_s(frozen, directory), last_env_steps(directory)
        if not (directory / FILE_NAME).exists():
            self._put_back(trial, KILLED_CAUSE, seconds, env_steps, killed=False)
            return
        seed = params_of(frozen).get("seed", frozen.user_attrs.get(SEED, self._space.seed))
        cause = "its result cannot be read"
        result = result_or_fallback(directory, "failed", cause, trial=frozen.number, seed=seed, wall_time_s=seconds)
        end_life(trial, max(seconds, result.wall_time_s), result.env_steps)
        self._tell(trial, result)

    def _tell(self, trial: optuna.Trial, result: TrialResult) -> None:
        value = result.objective(self._metric)
        state = TrialState.FAIL if value is None else TrialState.COMPLETE
        trial.set_user_attr(CAUSE, result.cause)
        trial.set_user_attr(STATUS, result.status)
        self._study.tell(trial, value, state=TrialState.PRUNED if result.status == "pruned" else state)


def queue_trial(
    study: optuna.Study,
    params: Mapping[str, Any],
    distributions: Mapping[str, BaseDistribution],
    attributes: Mapping[str, Any],
) -> None:
    """Let a trial wait at the end of the queue, its parameters set, so that it can be taken by its number."""
    study.add_trial(
        create_trial(
            state=TrialState.WAITING,
            params={key: params[key] for key in distributions},
            distributions=dict(distributions),
            user_attrs=dict(attributes),
        )
    )


def _is_killed_again(trial: optuna.Trial, process: TrialProcess) -> bool:
    """Whether a trial was killed twice while its worker lived, without a new state in between: it may be the cause."""
    earlier = lives_of(trial)[:-1]
    return bool(earlier) and earlier[-1].killed and not process.has_advanced


def _is_trained_on(directory: Path, candidate: Candidate) -> bool:
    """Whether an earlier trial is just what this candidate would become, and its result can be taken over."""
    try:
        TrialResult.load(directory)
        return same_result(load_recorded_config(directory), candidate.config)
    except (ConfigError, ResultError, KeyError):
        return False
