"""What a sampler may learn from a study."""

from collections.abc import Collection, Sequence

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial


class Mirror:
    """A copy of a study in memory, for a sampler to draw from.

    It holds what a sampler may learn from: completed and pruned trials, running ones, and lost ones as the worst value
    seen. In the study itself a lost trial has no value, so that nothing ever ranks it by one.
    """

    def __init__(self, direction: StudyDirection) -> None:
        self._direction = direction
        self._worst: float | None = None  # value of the completed trials
        self._empty()

    def _empty(self) -> None:
        self.study = optuna.create_study(direction=self._direction)
        self._known: dict[int, TrialState] = {}
        self._running: dict[int, int] = {}  # our number of each running trial
        self._holds_lost = False

    def follow(self, trials: Sequence[FrozenTrial], lost: Collection[int]) -> None:
        """Take over what is new; all of it again where lost trials are to be told as something worse.

        Args:
            trials: Of the study.
            lost: Numbers of those that have ended for good without a value; ``Ledger.lost``.
        """
        values = [trial.value for trial in trials if trial.state == TrialState.COMPLETE and trial.value is not None]
        worst = (min if self._direction == StudyDirection.MAXIMIZE else max)(values, default=None)
        if self._holds_lost and worst != self._worst:
            self._empty()
        self._worst = worst
        for trial in trials:
            is_new = trial.state != TrialState.WAITING and self._known.get(trial.number) != trial.state
            if is_new and self._add(trial, is_lost=trial.number in lost):
                self._known[trial.number] = trial.state

    def _add(self, trial: FrozenTrial, *, is_lost: bool) -> bool:
        """Take over one trial. Returns whether that is settled: a lost one waits for a value to be worse than."""
        if trial.state == TrialState.RUNNING:
            self._running[trial.number] = len(self.study.get_trials(deepcopy=False))
            self.study.add_trial(_copy(trial, state=TrialState.RUNNING))
            return True
        if trial.number in self._running:
            self.study.tell(self._running.pop(trial.number), state=TrialState.FAIL)
        if trial.state != TrialState.FAIL:
            self.study.add_trial(trial)
        elif is_lost:
            if self._worst is None:
                return False
            self._holds_lost = True
            self.study.add_trial(_copy(trial, state=TrialState.COMPLETE, value=self._worst))
        return True


def _copy(trial: FrozenTrial, *, state: TrialState, value: float | None = None) -> FrozenTrial:
    return create_trial(state=state, value=value, params=trial.params, distributions=trial.distributions)
