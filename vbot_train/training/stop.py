"""Asking a training to stop: from a signal handler, or from a thread that hears of it."""

from vbot_train.training.result import TrialStopped


class StopRequest:
    """Whether a training was asked to stop. It acts on that between two updates or two steps of an evaluation."""

    def __init__(self) -> None:
        self._asked: TrialStopped | None = None

    def stop(self, status: str, cause: str) -> None:
        """Ask it to stop; only the first request counts.

        Args:
            status: ``interrupted``: its state is kept, so that it can be continued; ``pruned``, ``timeout``: it ends.
            cause: Why, for people, in a line.
        """
        if self._asked is None:
            self._asked = TrialStopped(status, cause)

    @property
    def asked(self) -> TrialStopped | None:
        """What it was asked, None if nothing."""
        return self._asked

    def check(self) -> None:
        """Act on a request.

        Raises:
            TrialStopped: There is one.
        """
        if self._asked is not None:
            raise self._asked
