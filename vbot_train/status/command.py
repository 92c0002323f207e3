"""How a study stands, live with ``--watch``.

python -m vbot_train.status multirun/NAME --watch
"""

import argparse
import time
from contextlib import suppress
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from vbot_train.config.composition import ConfigError
from vbot_train.status.progress import Observer
from vbot_train.status.render import render_status
from vbot_train.study.errors import StudyError
from vbot_train.study.timing import HOUR_S
from vbot_train.terminal import detach_from_terminal

LOG_WIDTH = 140  # columns, where the output goes to a file
EVERY_S = 2.0


def show_status(study_dir: Path, storage: str | None = None, every_s: float | None = None) -> None:
    """Print how a study stands.

    Args:
        study_dir: The study's directory.
        storage: Where the study lives, with the password; None is where its record says.
        every_s: On a terminal, show it anew so often until Ctrl-C [s]; None is once.

    Raises:
        StudyError: The directory is not that of a study, or the study cannot be read.
        ConfigError: The study's record cannot be read.
    """
    observer = Observer(study_dir, storage)
    console = Console(highlight=False)
    if console.is_terminal and every_s is not None:
        with suppress(KeyboardInterrupt):
            watch(observer, console, every_s)
        return
    if not console.is_terminal:
        console.width = LOG_WIDTH
    console.print(render_status(observer.look()), soft_wrap=not console.is_terminal)


def watch(observer: Observer, console: Console, every_s: float) -> None:
    """Show a study for good. When it cannot be read, as while others write to it, the last picture stays."""
    seen, trouble = render_status(observer.look()), Text()
    with Live(console=console, auto_refresh=False) as live:
        while True:
            live.update(Group(seen, trouble), refresh=True)
            time.sleep(every_s)
            try:
                seen, trouble = render_status(observer.look()), Text()
            except (StudyError, ConfigError) as error:
                trouble = Text(f"{error}; trying again", style="red")


def seconds(text: str) -> float:
    """A time to wait [s].

    Raises:
        ValueError: It is none.
    """
    value = float(text)
    if not 0 < value <= HOUR_S:
        raise ValueError(text)
    return value


def main() -> None:
    """Print how a study stands: what runs, what is best, what failed, and when it will be done."""
    parser = argparse.ArgumentParser(prog="python -m vbot_train.status", description=main.__doc__)
    parser.add_argument("study", type=Path, help="directory of a study, such as multirun/NAME")
    parser.add_argument("--watch", action="store_true", help="show it anew until Ctrl-C, on a terminal")
    parser.add_argument(
        "--every", type=seconds, default=EVERY_S, metavar="SECONDS", help="so often; default: %(default)s"
    )
    parser.add_argument("--storage", help="where the study lives, if that takes a password")
    arguments = parser.parse_args()
    try:
        show_status(arguments.study, arguments.storage, arguments.every if arguments.watch else None)
    except (StudyError, ConfigError) as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    detach_from_terminal()
    main()
