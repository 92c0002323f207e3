"""What the line of a search or a comparison says, from what the steps before it have found."""

from dataclasses import replace

from vbot_train.pipeline.candidates import find_base, list_different, write_default
from vbot_train.pipeline.chain import Chain
from vbot_train.pipeline.lines import build_comparison_line, build_search_line
from vbot_train.pipeline.plan import COMMAND_S, Need
from vbot_train.pipeline.schema import Compare
from vbot_train.pipeline.state import ChainState, StepState
from vbot_train.pipeline.steps import Step
from vbot_train.pipeline.studies import Studies
from vbot_train.study.timing import HOUR_S


class StepLines:
    """Builds the lines of a chain's searches and comparisons when their turn has come.

    Args:
        chain: The chain.
        state: How far it is.
        studies: What its steps have found.
    """

    def __init__(self, chain: Chain, state: ChainState, studies: Studies) -> None:
        self._chain = chain
        self._state = state
        self._studies = studies

    def build(self, step: Step, state: StepState, need: Need, seconds: float) -> list[str] | None:
        """Build a step's line. Returns None if there is nothing to compare.

        Args:
            step: The search or the comparison.
            state: Its state.
            need: What it needs.
            seconds: Wall clock that it may take from now on [s].
        """
        if isinstance(step.stage, Compare):
            if not state.candidates and not self._choose_candidates(step, state, need, seconds):
                return None
            hours = self._allot_hours(step, state, seconds)
            return build_comparison_line(self._chain, step, state.candidates, hours, state.test_seeds)
        around = self._find_around(step)
        taken_over, hours = self._studies.count_taken_over(around), self._allot_hours(step, state, seconds)
        return build_search_line(self._chain, step, self.find_base(step), hours, around, taken_over)

    def find_base(self, step: Step) -> str | None:
        """Return the candidate from which a step starts; None: the default."""
        return find_base(self._chain, self._chain.steps[: step.number - 1])

    def _choose_candidates(self, step: Step, state: StepState, need: Need, seconds: float) -> bool:
        """Choose what is compared, and on how many seeds it is tested. Returns False if there is only the default.

        The state keeps both: a comparison that goes on is the same one, whatever time is left.
        """
        assert isinstance(step.stage, Compare)
        write_default(self._chain)
        default, *others = list_different(self._chain, self._chain.steps[: step.number - 1])
        if not others:
            return False
        fitting = max(need.count_fitting(seconds), 2)  # the default and the latest, which is around the best of earlier
        state.candidates = [default, *others[1 - fitting :]]
        if step.stage.test_seeds is not None:
            need = replace(need, trials=len(state.candidates))
            state.test_seeds = need.count_test_seeds(seconds, step.stage.test_seeds)
        return True

    def _allot_hours(self, step: Step, state: StepState, seconds: float) -> float:
        """Return the hours that a search may train over all its resumes: so many seconds from now, or less.

        A search that goes on keeps the hours that it was given.
        """
        progress = self._studies.look(step)
        spent_s = 0.0 if progress is None else progress.spent_s
        hours = (spent_s + max(seconds - COMMAND_S, 1.0)) / HOUR_S
        state.budget_hours = hours if state.budget_hours is None else min(hours, state.budget_hours)
        return state.budget_hours

    def _find_around(self, step: Step) -> Step | None:
        """Return the search around which a step searches: if that was skipped, the one around which it was to be."""
        around = None if step.around is None else self._chain.find(step.around)
        if around is None or self._state.find(around.name).status == "done":
            return around
        return self._find_around(around)
