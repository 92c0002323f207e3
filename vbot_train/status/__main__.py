"""Show the status of a study or of a chain, continuously with ``--watch``.

python -m vbot_train.status multirun/NAME --watch
"""

import argparse
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from vbot_train.config.composition import ConfigError
from vbot_train.pipeline.state import STATE_YAML, ChainState
from vbot_train.status.chain import render_chain
from vbot_train.status.observer import Observer
from vbot_train.status.render import render_status
from vbot_train.status.states import drop_states
from vbot_train.study.errors import StudyError
from vbot_train.study.layout import STUDY_YAML
from vbot_train.study.timing import HOUR_S
from vbot_train.terminal import detach_from_terminal, name_command

LOG_WIDTH = 140  # columns, if the output is not a terminal
EVERY_S = 2.0


def show_status(study_dir: Path, storage: str | None = None, every_s: float | None = None) -> None:
    """Print the status of a study or of a chain.

    Args:
        study_dir: Directory of the study or the chain.
        storage: Storage URL with the password; None for the one in the study's record.
        every_s: On a terminal, refresh at this interval until Ctrl-C [s]; None to print once.

    Raises:
        StudyError: The directory is not that of a study, or the study cannot be read.
        ConfigError: The study's record cannot be read.
    """
    look = prepare_look(study_dir, storage)
    console = Console(highlight=False)
    if console.is_terminal and every_s is not None:
        with suppress(KeyboardInterrupt):
            watch(look, console, every_s)
        return
    if not console.is_terminal:
        console.width = LOG_WIDTH
    console.print(look(), soft_wrap=not console.is_terminal)


def prepare_look(directory: Path, storage: str | None) -> Callable[[], Group]:
    """Return a function that reads and renders the status: of a study, or of a chain and of its study that runs."""
    if not (directory / STATE_YAML).exists():
        observer = Observer(directory, storage)
        return lambda: render_status(observer.look())

    observers: dict[Path, Observer] = {}  # kept, as each keeps its database open

    def look() -> Group:
        state = ChainState.read(directory)
        if state is None:
            raise StudyError(f"{directory}: its {STATE_YAML} is gone")
        chain = render_chain(state, time.time() - (directory / STATE_YAML).stat().st_mtime)
        study = None if state.stage is None else directory / state.stage
        if study is None or not (study / STUDY_YAML).exists():
            return chain
        return Group(chain, Text(), render_status(observers.setdefault(study, Observer(study, storage)).look()))

    return look


def watch(look: Callable[[], Group], console: Console, every_s: float) -> None:
    """Refresh a status forever; while it cannot be read, keep the last status and show the error."""
    seen, trouble = look(), Text()
    with Live(console=console, auto_refresh=False) as live:
        while True:
            live.update(Group(seen, trouble), refresh=True)
            time.sleep(every_s)
            try:
                seen, trouble = look(), Text()
            except (StudyError, ConfigError) as error:
                trouble = Text(f"{error}; trying again", style="red")


def seconds(text: str) -> float:
    """Parse an interval [s].

    Raises:
        ValueError: The text is not a number in (0, 3600].
    """
    value = float(text)
    if not 0 < value <= HOUR_S:
        raise ValueError(text)
    return value


def main() -> None:
    """Print how a study stands: what runs, what is best, what failed, and when it will be done."""
    parser = argparse.ArgumentParser(prog=name_command("status"), description=main.__doc__)
    parser.add_argument("study", type=Path, help="directory of a study or a chain, such as multirun/NAME")
    parser.add_argument("--watch", action="store_true", help="show it anew until Ctrl-C, on a terminal")
    parser.add_argument(
        "--every", type=seconds, default=EVERY_S, metavar="SECONDS", help="so often; default: %(default)s"
    )
    parser.add_argument(
        "--drop-states", action="store_true", help="drop the states of paused trials, which then start anew if promoted"
    )
    parser.add_argument("--storage", help="where the study lives, if that takes a password")
    arguments = parser.parse_args()
    try:
        if arguments.drop_states:
            study = Observer(arguments.study, arguments.storage).look().verdict.study
            print(f"dropped the states of {drop_states(study.paused)} of {len(study.paused)} paused trials")  # noqa: T201
            return
        show_status(arguments.study, arguments.storage, arguments.every if arguments.watch else None)
    except (StudyError, ConfigError, OSError) as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    detach_from_terminal()
    main()
