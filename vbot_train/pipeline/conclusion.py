"""The end of a chain: the answer, its page, and what the final policy left behind."""

from collections.abc import Iterator

from vbot_train.pipeline.chain import Chain
from vbot_train.pipeline.outcome import Outcome, find_outcome
from vbot_train.pipeline.report import list_difference_rows, write_chain_report
from vbot_train.pipeline.schema import Compare
from vbot_train.pipeline.state import ChainState
from vbot_train.pipeline.steps import DEFAULT
from vbot_train.pipeline.studies import Studies
from vbot_train.pipeline.take_away import find_final, list_missing

ONLY_DEFAULT = "no search found anything but the default"


def conclude(chain: Chain, state: ChainState, studies: Studies) -> Iterator[str]:
    """Write the page of a chain, and yield the lines of its answer.

    Raises:
        StudyError: The study of the comparison cannot be read.
    """
    outcome = find_chain_outcome(chain, state, studies)
    notes = list(list_missing(chain))
    report = write_chain_report(chain, state, outcome, notes)
    if outcome is not None:
        yield outcome.sentence
        for row in list_difference_rows(outcome):
            yield f"  {row['metric']:<22} {row['default']} -> {row['ours']}, {row['difference']}"
        yield from outcome.cautions
    yield from notes
    yield f"report: {report}"
    if (final := find_final(chain)) is not None:
        yield f"the policy: {final}"


def find_chain_outcome(chain: Chain, state: ChainState, studies: Studies) -> Outcome | None:
    """Return the outcome of the chain's last comparison; None without one."""
    compared = [step for step in chain.steps if isinstance(step.stage, Compare)]
    if not compared:
        return None
    found = state.find(compared[-1].name)
    if found.status == "skipped":
        return Outcome(DEFAULT, is_default=True, untested=found.note)
    return find_outcome(studies.judge(compared[-1]), DEFAULT)
