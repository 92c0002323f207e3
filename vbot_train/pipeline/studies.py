"""The studies of a chain's steps: what they have found so far, and who works on them."""

from contextlib import suppress
from pathlib import Path

from vbot_train.analysis.verdict import Verdict
from vbot_train.config.composition import ConfigError
from vbot_train.pipeline.chain import Chain
from vbot_train.pipeline.steps import Step
from vbot_train.search.execution.worker_lock import WorkerLock
from vbot_train.search.spec import AROUND_TOP
from vbot_train.status.observer import Observer, Progress
from vbot_train.study.errors import StudyError
from vbot_train.study.layout import STUDY_YAML
from vbot_train.study.loading import load_study
from vbot_train.study.timing import HOUR_S, MOST_RESERVED, estimate_training_s


class Studies:
    """Reader of the studies of a chain.

    Args:
        chain: The chain.
    """

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._observers: dict[Path, Observer] = {}  # kept, as each keeps its database open

    def look(self, step: Step) -> Progress | None:
        """Return a study's progress; None where it has not begun, or cannot be read now."""
        directory = self._chain.locate(step)
        if not self._has_begun(step):
            return None
        with suppress(StudyError, ConfigError):  # the search writes it at this moment
            return self._observers.setdefault(directory, Observer(directory, self._chain.config.storage)).look()
        return None

    def judge(self, step: Step) -> Verdict:
        """Return the verdict on a study.

        Raises:
            StudyError: It cannot be read.
        """
        study = load_study(self._chain.locate(step), self._chain.config.storage)
        return Verdict(study, study.record.metric)

    def count_taken_over(self, around: Step | None) -> int:
        """Count the configurations that a search takes over from the one around which it searches."""
        return 0 if around is None else len(self.judge(around).best_first[:AROUND_TOP])

    def is_worked_on(self, step: Step) -> bool:
        """Check whether a process works on a study: one that outlived its chain, or one that a person has added."""
        if not self._has_begun(step):
            return False
        lock = WorkerLock(self._chain.locate(step))
        with lock.hold():
            return bool(lock.list_others())

    def _has_begun(self, step: Step) -> bool:
        return (self._chain.locate(step) / STUDY_YAML).exists()


def has_run_out(progress: Progress, training_s: float) -> bool:
    """Check whether a search has completed nothing because no further training fits into what is left of its hours.

    Args:
        progress: The search's progress.
        training_s: Expected duration of a training [s], if the search does not know yet.
    """
    settings = progress.record.settings
    if settings.budget_hours is None or progress.left_s is None or progress.verdict.winner is not None:
        return False
    training_s = estimate_training_s(progress.search.trials, settings.training.env_steps) or training_s
    reserved_s = MOST_RESERVED * settings.budget_hours * HOUR_S  # no new trial is given this time
    return progress.left_s < training_s + reserved_s
