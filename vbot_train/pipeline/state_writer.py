"""Writes a chain's state, with the hours that it has used."""

import time
from pathlib import Path

from vbot_train.pipeline.state import ChainState
from vbot_train.study.timing import HOUR_S

SAVE_S = 10.0  # the state is written at least so often: what a kill loses of the hours used


class StateWriter:
    """Writes the state of a chain that runs, from its construction on.

    Args:
        state: The state.
        directory: The chain's directory.
    """

    def __init__(self, state: ChainState, directory: Path) -> None:
        self.state = state
        self._directory = directory
        self._hours_before = state.hours_used
        self._started = self._saved = time.monotonic()

    def compute_left_s(self) -> float:
        """Compute what is left of the budget [s]; negative if more was used."""
        return self.state.budget_hours * HOUR_S - self._compute_used_s()

    def save(self) -> None:
        """Write the state."""
        used_s = self._compute_used_s()
        self.state.hours_used = round(used_s / HOUR_S, 5)
        self.state.hours_left = round(max(self.state.budget_hours - used_s / HOUR_S, 0.0), 5)
        self.state.write(self._directory)
        self._saved = time.monotonic()

    def save_now_and_then(self) -> None:
        """Write the state if it was not written for a while."""
        if time.monotonic() - self._saved >= SAVE_S:
            self.save()

    def _compute_used_s(self) -> float:
        return self._hours_before * HOUR_S + time.monotonic() - self._started
