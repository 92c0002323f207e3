"""How a training run and its caller talk: events that it reports, and a request to stop it."""

from collections.abc import Callable, Mapping
from typing import Any

from vbot_train.training.result import TrialStopped

Report = Callable[[Mapping[str, Any]], None]  # receives the events of a training run


class StopRequest:
    """A stop request, which the training run checks between two updates and between two evaluation steps."""

    def __init__(self) -> None:
        self._asked: TrialStopped | None = None

    def stop(self, status: str, cause: str) -> None:
        """Request a stop; only the first request has an effect.

        Args:
            status: ``interrupted`` and ``paused`` keep the state, so that the run can be resumed; ``timeout`` ends it.
            cause: Reason in one line, for the user.
        """
        if self._asked is None:
            self._asked = TrialStopped(status, cause)

    @property
    def asked(self) -> TrialStopped | None:
        """The request, None if there is none."""
        return self._asked

    def check(self) -> None:
        """Raise the request if there is one.

        Raises:
            TrialStopped: A stop was requested.
        """
        if self._asked is not None:
            raise self._asked
