"""Errors of a study."""


class StudyError(ValueError):
    """A study cannot be opened, read or resumed. The message is one line with the key or the path."""
