"""Who trains what: a loop claims trials from the study, and says what came of them.

Every step is taken under the study's lock and read from the study itself, so any number of loops, started and killed
at any time, share it without a trial lost or taken twice.
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
from optuna.trial import FrozenTrial, TrialState

from vbot_train.analysis.trials import is_own
from vbot_train.config import ConfigError, load_recorded_config
from vbot_train.lives import begin_life, end_life
from vbot_train.search import budget
from vbot_train.search.ledger import (
    CAUSE,
    HISTORY,
    KILLED,
    LOOP,
    ORIGIN,
    RETRY_OF,
    SEED,
    STATUS,
    Ledger,
    identity,
    is_trained,
    params_of,
)
from vbot_train.search.patience import patient
from vbot_train.search.presence import Presence, host_of
from vbot_train.search.priors import Prior
from vbot_train.search.proposals import Proposals
from vbot_train.search.ranges import holds
from vbot_train.search.resume import same_result
from vbot_train.search.settle import KILLED_CAUSE, LOG, lived_s, settle
from vbot_train.search.space import Candidate
from vbot_train.search.stages import NO_STAGES, Plan
from vbot_train.training.result import ResultError, TrialResult
from vbot_train.training.run_directory import has_owner


@dataclass(frozen=True, slots=True)
class Claim:
    """A trial that this loop is to train."""

    trial: optuna.Trial
    candidate: Candidate
    directory: Path
    history: Path | None  # a finished trial of just this configuration: its result is taken over


class Points(Protocol):
    """What the trials of a study are points of: a ``Space``, or the configurations that it has led to."""

    distributions: dict[str, BaseDistribution]
    seed: int

    def candidate(self, params: Mapping[str, Any], seed: int | None = None, *, shared: bool = False) -> Candidate:
        """The configuration of a point."""


class Claims:
    """One loop's dealings with the study.

    Args:
        study: The study.
        trials_dir: Where its trials write, each into a folder by its number.
        presence: This loop's presence at it.
        space: What varies.
        proposals: What to try next.
        job: The composed config.
        total: Number of trials at which the search ends.
        workers: Trials that this loop trains at a time.
        stages: What is trained after it; of the budget, time is kept for that.
        elsewhere: Trials of the other stages, which spent of the same budget.
        training_s: How long one training takes [s], if the other stages know.
    """

    def __init__(
        self,
        study: optuna.Study,
        trials_dir: Path,
        presence: Presence,
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
        self._seeds_per_trial = job["search"]["seeds_per_trial"]
        self._retries = job["search"]["retries"]
        self._budget_s = None if job["budget_hours"] is None else job["budget_hours"] * budget.HOUR_S
        self._stages = stages
        self._elsewhere = elsewhere
        self._training_s = training_s
        self.others_train = False  # whether living loops did at the last claim: if one dies, its trial is anybody's
        self.out_of_time = False  # whether a trial was not started because it cannot finish within the budget

    def enqueue(self, priors: list[Prior], but: Collection[int] = ()) -> None:
        """Put the priors into the queue that are not in the study yet, but for trials of these numbers."""
        with self._presence.lock():
            taken = Ledger(self._study.get_trials(deepcopy=False), self._retries, but).taken
            for prior in priors:
                if prior.params is None:
                    continue
                seed = prior.params.get("seed", self._space.seed if prior.seed is None else prior.seed)
                if is_trained(seed, taken.get(identity(prior.params), []), self._seeds_per_trial):
                    continue
                attributes = {ORIGIN: prior.origin, SEED: seed}
                if prior.history is not None:
                    attributes[HISTORY] = str(prior.history.absolute())
                self._study.enqueue_trial(prior.params, user_attrs=attributes)

    @patient
    def claim(self) -> Claim | None:
        """The next trial to train, None if there is none now: another loop's may still have to be trained again.

        In this order: what was interrupted and what waits in the queue, new proposals, what crashed.

        Raises:
            ConfigError: No feasible point was found.
        """
        with self._presence.lock():
            self.others_train = self._recover()
            self._refuse_foreign()
            ledger = self._ledger()
            if ledger.started >= self._total or not self._has_time(ledger):
                return None
            for trial in ledger.interrupted:
                self._queue_again(trial)
            if ledger.interrupted or ledger.waiting or self._propose(ledger):
                return self._take()
            if ledger.crashed:
                self._queue_again(ledger.crashed[0])
                return self._take()
            return None

    @patient
    def report(self, claim: Claim, step: int, value: float) -> bool:
        """Tell the study of a held-out value on the way. Returns whether the pruner ends the trial.

        Args:
            claim: The trial.
            step: Held-out evaluations so far.
            value: Of the metric.
        """
        with self._presence.lock():
            claim.trial.report(value, step)
            return claim.trial.should_prune()

    @patient
    def tell(self, claim: Claim, result: TrialResult, lived_s: float, *, killed: bool = False) -> None:
        """Tell the study what came of a trial, which ran so long; ``killed`` if not its search interrupted it."""
        with self._presence.lock():
            if killed:
                claim.trial.set_user_attr(KILLED, True)
            end_life(claim.trial, lived_s, 0 if claim.history is not None else result.env_steps)
            self._tell(claim.trial, result)

    @patient
    def forecast(self) -> int | None:
        """How many of the study's trials will have ended when the budget is spent; None if that is open."""
        ledger = self._ledger()
        trial_s = self._trial_s(ledger)
        left_s = self.left_s(ledger)
        if left_s is None or trial_s is None:
            return None
        left_s -= self._kept_s(ledger)
        running = sum(trial.state == TrialState.RUNNING for trial in ledger.counted)
        done = ledger.started - running
        workers = max(self._workers, running)
        fit = budget.fitting(done=done, running=running, left_s=left_s, trial_s=trial_s, workers=workers)
        return min(fit, self._total)

    @patient
    def left_s(self, ledger: Ledger | None = None) -> float | None:
        """What is left of the budget [s], None without one."""
        if self._budget_s is None:
            return None
        trials = [*self._elsewhere, *(ledger or self._ledger()).trials]
        return self._budget_s - budget.spent_s(trials, datetime.now(UTC))

    @patient
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

    @patient
    def done(self) -> int:
        """Trials that have ended for good."""
        ledger = self._ledger()
        return ledger.started - sum(trial.state == TrialState.RUNNING for trial in ledger.counted)

    def _ledger(self) -> Ledger:
        return Ledger(self._study.get_trials(deepcopy=False), self._retries)

    def _has_time(self, ledger: Ledger) -> bool:
        left_s = self.left_s(ledger)
        needed_s = (self._trial_s(ledger) or 0.0) + self._kept_s(ledger)
        self.out_of_time = left_s is not None and left_s <= needed_s
        return not self.out_of_time

    def _trial_s(self, ledger: Ledger) -> float | None:
        """How long a trial takes [s], None before that is known."""
        return budget.expected_s(ledger.trials) or self._training_s

    def _kept_s(self, ledger: Ledger) -> float:
        """Time kept for the later stages [s]."""
        training_s = (self._trial_s(ledger) or 0.0) / self._seeds_per_trial
        later = self._stages.trainings - sum(trial.state.is_finished() for trial in self._elsewhere)
        kept_s = budget.rounds(max(later, 0), self._workers) * training_s
        return min(kept_s, (self._budget_s or 0.0) * budget.MOST_KEPT)

    def _queue_again(self, trial: FrozenTrial) -> None:
        kept = {key: trial.user_attrs[key] for key in (ORIGIN, SEED, HISTORY) if key in trial.user_attrs}
        self._study.enqueue_trial(params_of(trial), user_attrs={**kept, RETRY_OF: trial.number})

    def _propose(self, ledger: Ledger) -> bool:
        """Queue a new proposal. Returns whether there was room for one, and one left."""
        if ledger.promised >= self._total:
            return False
        params = self._proposals.draw(ledger.trials, ledger.taken, ledger.proposals)
        self._count_rejected()
        if params is None:
            return False
        seed = params.get("seed", self._space.seed)
        taken = ledger.taken.get(identity(params), [])
        while "seed" not in params and (self._is_reserved(seed) or is_trained(seed, taken, self._seeds_per_trial)):
            seed += 1
        self._study.enqueue_trial(params, user_attrs={ORIGIN: "proposed", SEED: seed})
        return True

    def _is_reserved(self, seed: int) -> bool:
        """Whether a trial that begins at a seed would use one that belongs to a later stage."""
        return any(seed <= later < seed + self._seeds_per_trial for later in self._stages.seeds)

    def _count_rejected(self) -> None:
        if self._proposals.rejected:
            total = Counter(self._study.user_attrs.get("infeasible", {})) + self._proposals.rejected
            self._study.set_user_attr("infeasible", dict(total))
            self._proposals.rejected.clear()

    def _take(self) -> Claim:
        trial = self._study.ask(self._space.distributions)
        trial.set_user_attr(LOOP, self._presence.name)
        begin_life(trial, host_of(self._presence.name))
        shared = self._workers > 1 or self._presence.shares_host()
        candidate = self._space.candidate(trial.params, trial.user_attrs.get(SEED), shared=shared)
        history = trial.user_attrs.get(HISTORY)
        source = None if history is None else Path(history)
        if source is not None and not _is_trained_on(source, candidate):
            source = None
        return Claim(trial, candidate, self.trial_directory(trial.number), source)

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
        """Settle a trial whose loop died: if it has a result it keeps it, if it has none it was interrupted."""
        trial = optuna.Trial(self._study, frozen._trial_id)
        directory = self.trial_directory(frozen.number)
        seconds = lived_s(frozen, directory)
        seed = params_of(frozen).get("seed", frozen.user_attrs.get(SEED, self._space.seed))
        result = settle(directory, "interrupted", KILLED_CAUSE, trial=frozen.number, seed=seed, wall_time_s=seconds)
        if result.cause == KILLED_CAUSE and (directory / LOG).exists():  # else it cannot have been the cause
            trial.set_user_attr(KILLED, True)
        end_life(trial, max(seconds, result.wall_time_s), result.env_steps)
        self._tell(trial, result)

    def _tell(self, trial: optuna.Trial, result: TrialResult) -> None:
        value = result.objective(self._metric)
        state = TrialState.FAIL if value is None else TrialState.COMPLETE
        trial.set_user_attr(CAUSE, result.cause)
        trial.set_user_attr(STATUS, result.status)
        self._study.tell(trial, value, state=TrialState.PRUNED if result.status == "pruned" else state)


def _is_trained_on(directory: Path, candidate: Candidate) -> bool:
    """Whether an earlier trial is just what this candidate would become, and its result can be taken over."""
    try:
        TrialResult.load(directory)
        return same_result(load_recorded_config(directory), candidate.config)
    except (ConfigError, ResultError, KeyError):
        return False
