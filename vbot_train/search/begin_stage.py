"""Begin or continue a later stage (confirm, test) of a search."""

from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from optuna.trial import FrozenTrial, TrialState
from pydantic import ValidationError

from vbot_train.analysis.verdict import Verdict
from vbot_train.config.composition import ConfigError, load_recorded_config
from vbot_train.search.execution.trial_queue import TrialQueue
from vbot_train.search.execution.worker_lock import WorkerLock
from vbot_train.search.space.initial_points import open_earlier
from vbot_train.search.space.proposals import GridProposals
from vbot_train.search.spec import SearchSpec
from vbot_train.search.stage_space import StageSpace, list_trainings
from vbot_train.search.stages import check_disjoint
from vbot_train.study.accounting import TrialCounts
from vbot_train.study.attributes import SEED, WORKER
from vbot_train.study.layout import STAGES, TRIALS
from vbot_train.study.opening import look_into, open_stage
from vbot_train.study.record import StudyRecord
from vbot_train.study.recorded_settings import RecordedSettings
from vbot_train.study.storage import retry_while_locked
from vbot_train.study.timing import estimate_training_s


@retry_while_locked
def begin_stage(
    stage: str, spec: SearchSpec, directory: Path, worker_lock: WorkerLock
) -> tuple[TrialQueue, int] | None:
    """Enqueue the trainings that a stage still needs, for all workers of the study.

    Args:
        stage: ``confirm`` or ``test``.
        spec: The search's specification.
        directory: The study's directory.
        worker_lock: This worker's lock on the study.

    Returns:
        The stage's trial queue and its total number of trainings; None if there is nothing to train.

    Raises:
        ConfigError: The study cannot be read.
    """
    storage, settings = spec.config.storage, spec.config.search
    once = settings.model_copy(update={"seeds_per_configuration": 1})
    unscheduled = spec.config.scheduler.model_copy(update={"rungs": ()})
    if spec.plan.get_stage(stage) is None:
        return None
    verdict = Verdict(open_earlier(directory, "study", storage), spec.metric)
    trainings = list_trainings(stage, verdict, spec.plan)
    if not trainings:
        return None
    study = open_stage(directory, storage, stage)
    screened = read_own_trials(spec, directory)[TRIALS]
    join = partial(
        TrialQueue,
        study,
        directory / stage,
        worker_lock,
        StageSpace(spec.space, verdict, spec.get_evaluation_seed(stage)),
        GridProposals([]),
        config=spec.config.model_copy(update={"search": once, "scheduler": unscheduled}),
        workers=spec.workers,
        elsewhere=[*screened, *read_other_stages(spec, directory, worker_lock, but=stage)],
        training_s=estimate_training_s(screened, spec.config.training.env_steps),
    )
    join(total=0).enqueue(trainings, but=[trial.number for trial in verdict.study.left_out if trial.stage == stage])
    total = TrialCounts(study.get_trials(deepcopy=False), settings.retries).promised
    return join(total=total), total


def read_own_trials(spec: SearchSpec, directory: Path) -> dict[str, list[FrozenTrial]]:
    """Return the trials of each stage of the search's study."""
    record = StudyRecord.read(directory)
    assert record is not None
    return look_into(directory, spec.config.storage, record)


def read_other_stages(
    spec: SearchSpec, directory: Path, worker_lock: WorkerLock, but: str | None = None
) -> list[FrozenTrial]:
    """Return the trials of all later stages except ``but``, without running trials of dead workers."""
    stages = read_own_trials(spec, directory)
    trials = [trial for stage in STAGES if stage != but for trial in stages[stage]]
    with worker_lock.hold():
        return [
            trial
            for trial in trials
            if trial.state != TrialState.RUNNING or worker_lock.is_alive(trial.user_attrs.get(WORKER))
        ]


def check_unused_seeds(spec: SearchSpec, directory: Path) -> None:
    """Check that nothing else in the study uses a stage's seeds, and that a continued test keeps its start states.

    Args:
        spec: The search's specification.
        directory: The study's directory.

    Raises:
        ConfigError: A seed is used twice, or the test was begun with another evaluation seed.
    """
    plan, evaluation, stages = spec.plan, spec.config.evaluation, read_own_trials(spec, directory)
    used = {stage: [trial.user_attrs.get(SEED, spec.seed) for trial in trials] for stage, trials in stages.items()}
    searched = used[TRIALS]
    check_disjoint(replace(plan, test=None), [*searched, *used["test"]], evaluation)
    confirming = plan.confirm.seeds if plan.confirm else []
    check_disjoint(plan, [*searched, *(seed for seed in used["confirm"] if seed not in confirming)], evaluation)
    then = find_test_seed(directory)
    if plan.test is not None and then not in (None, now := plan.test.evaluation_seed):
        raise ConfigError(f"search.test.evaluation_seed={now}: the test was begun with {then}; it would not compare")


def find_test_seed(directory: Path) -> int | None:
    """Return the seed of the start states that a study is tested on; None without a readable config of a test."""
    for path in sorted((directory / "test").glob("*/.hydra")):
        with suppress(ConfigError, ValidationError):
            config = RecordedSettings.model_validate(load_recorded_config(path.parent))
            if config.evaluation.seed is not None:
                return config.evaluation.seed
    return None
