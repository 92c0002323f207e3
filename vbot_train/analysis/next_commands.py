"""Command lines that continue from a study: train, search around, film or analyze its winner."""

import shlex
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from vbot_train.analysis.verdict import Verdict
from vbot_train.config.keys import GROUPS
from vbot_train.study.record import StudyRecord
from vbot_train.terminal import name_command

OWN_GROUPS = (*GROUPS, "evaluation")
FOLDER_OPTIONS = ("--config-dir", "-cd", "--config-path", "-cp")


def list_next_commands(verdict: Verdict, analysis: Path) -> Iterator[tuple[str, str]]:
    """Yield pairs of purpose and command for the next steps; the winner is that of this analysis folder."""
    if verdict.winner is None:
        return
    directory = verdict.study.directory.as_posix()  # forward slashes need no quoting
    again = ["--config-dir", analysis.as_posix(), "experiment=best"]
    trial = verdict.winner.trials[0].directory.as_posix()
    other = "success_rate" if verdict.metric != "success_rate" else "episode_reward_mean"
    record = verdict.study.record
    around = ["-m", "search=fine_tune", f"search.around={directory}", *list_own_settings(record)]
    for purpose, command, arguments in (
        ("the winner again, to the digit (same machine, same number of threads)", None, again),
        ("the winner on seeds of your own", None, ["-m", *again, "seed=11,12,13", "search.confirm=none"]),
        ("search closely around the best", None, [*list_own_folders(record.command), *around]),
        ("look at the winner walk", "evaluate", [trial, "--video", "winner.mp4"]),
        ("the analysis by another metric", "analyze", [directory, "--metric", other]),
    ):
        yield purpose, f"{name_command(command)} {shlex.join(arguments)}"


def list_own_settings(record: StudyRecord) -> list[str]:
    """Return the study's overrides of task and training outside of its search space, to keep in another search."""
    given = [str(argument) for argument in record.command[1:]]
    keys = {argument: argument.partition("=")[0].lstrip("+") for argument in given}
    own = [argument for argument, key in keys.items() if key.split(".")[0] in OWN_GROUPS]
    return [argument for argument in own if keys[argument] not in record.space]


def list_own_folders(command: Sequence[str]) -> Iterator[str]:
    """Yield the arguments of a command that name folders of options, which its other arguments may need."""
    for argument, following in pairwise([*command, ""]):
        option, is_whole, _ = argument.partition("=")
        if option in FOLDER_OPTIONS:
            yield from [argument] if is_whole else [argument, following]
