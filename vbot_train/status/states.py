"""The saved states of paused trials: what they take on disk, and how to drop them."""

import shlex
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from vbot_train.config.composition import ConfigError
from vbot_train.study.trials import Trial
from vbot_train.training.files import remove_file
from vbot_train.training.row_files import EVENTS
from vbot_train.training.run_directory import CHECKPOINTS, own_run_directory, state_path

MB = 1e6


def describe_states(study_dir: Path, paused: Sequence[Trial], command: str) -> Iterator[str]:
    """Yield a line with the size of the states, and the command that drops them; nothing if there is none.

    Args:
        study_dir: The study's directory.
        paused: Its paused trials.
        command: The command that shows a study's status, as the user types it.
    """
    sizes = []
    for trial in paused:
        with suppress(FileNotFoundError):  # dropped, or the search has just gone on with it to its end
            sizes.append(state_path(trial.directory).stat().st_size)
    if sizes:
        drop = f"{command} {shlex.quote(str(study_dir))} --drop-states"
        yield f"paused    {len(sizes)} wait with their states, {sum(sizes) / MB:,.0f} MB; to drop these: {drop}"


def drop_states(paused: Sequence[Trial]) -> int:
    """Drop the states of paused trials; a trial that is promoted later starts anew. Returns how many were dropped.

    A trial that a search continues just now is left alone.
    """
    return sum(_drop_state(trial.directory) for trial in paused if state_path(trial.directory).exists())


def _drop_state(run_dir: Path) -> bool:
    try:
        with own_run_directory(run_dir):
            for path in (*(run_dir / CHECKPOINTS).iterdir(), *run_dir.glob(EVENTS)):
                remove_file(path)
    except ConfigError:  # in use
        return False
    return True
