"""What can be wrong with a study."""


class StudyError(ValueError):
    """A study that cannot be opened, read or continued. The message is one line with the key or the path."""
