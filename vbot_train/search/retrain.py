"""Open a later stage for a loop to work on."""

from functools import partial
from pathlib import Path

from optuna.trial import FrozenTrial

from vbot_train.analysis.stages import Verdict
from vbot_train.search import budget
from vbot_train.search.claims import Claims
from vbot_train.search.finals import Finals, trainings_of
from vbot_train.search.ledger import Ledger
from vbot_train.search.presence import Presence
from vbot_train.search.priors import open_earlier
from vbot_train.search.proposals import GridProposals
from vbot_train.search.question import Question
from vbot_train.search.stages import check_disjoint
from vbot_train.search.study import look_into, look_into_stages, open_stage, read_record


def begin_stage(stage: str, question: Question, directory: Path, presence: Presence) -> tuple[Claims, int] | None:
    """Put what a stage still has to train into its queue; a loop that comes later finds it there.

    Args:
        stage: ``confirm`` or ``test``.
        question: What the search asks.
        directory: The study's directory.
        presence: This loop's presence at it.

    Returns:
        The stage's trainings, to claim, and how many there are in all; None if there is nothing to train.

    Raises:
        ConfigError: The study cannot be read, or a seed was used before.
    """
    storage, settings = question.job["storage"], question.job["search"]
    verdict = Verdict(open_earlier(directory, "study", storage), question.metric)
    trainings = trainings_of(stage, verdict, question.plan)
    if not trainings:
        return None
    used = {seed for found in verdict.screened for seed in found.seeds}
    check_disjoint(question.plan, used, question.job["evaluation"])
    study = open_stage(directory, storage, stage)
    screened = screening_of(question, directory)
    join = partial(
        Claims,
        study,
        directory / stage,
        presence,
        Finals(question.space, verdict, question.plan.evaluation_seed(stage, question.job)),
        GridProposals([]),
        job={**question.job, "search": {**settings, "seeds_per_trial": 1}},
        workers=question.workers,
        elsewhere=[*screened, *elsewhere(question, directory, but=stage)],
        training_s=(budget.expected_s(screened) or 0.0) / settings["seeds_per_trial"],
    )
    join(total=0).enqueue(trainings)
    total = Ledger(study.get_trials(deepcopy=False), settings["retries"]).promised
    return join(total=total), total


def screening_of(question: Question, directory: Path) -> list[FrozenTrial]:
    """The trials of the search itself."""
    record = read_record(directory)
    assert record is not None
    return look_into(directory, question.job["storage"], record)


def elsewhere(question: Question, directory: Path, but: str | None = None) -> list[FrozenTrial]:
    """What the later stages have trained so far, all but one."""
    stages = look_into_stages(directory, question.job["storage"])
    return [trial for stage, trials in stages.items() if stage != but for trial in trials]
