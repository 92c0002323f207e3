"""The console script ``vbot-train``: ``vbot-train NAME ...`` is ``python -m vbot_train.NAME ...``."""

import re
import runpy
import sys
from difflib import get_close_matches
from importlib.metadata import version

from vbot_train.__main__ import run

COMMANDS = ("automl", "analyze", "status", "compare", "evaluate", "export", "init")


def main() -> None:
    """Run the command that the first argument names; without one, a training or a search."""
    name = next(iter(sys.argv[1:]), "")
    if name == "--version":  # Hydra would print its own
        print(f"vbot-train {version('vbot-train')}")  # noqa: T201 - the command's output
    elif name in COMMANDS:
        del sys.argv[1]
        runpy.run_module(f"vbot_train.{name}", run_name="__main__")
    elif re.fullmatch(r"\w+", name):  # neither an option nor KEY=VALUE
        near = get_close_matches(name, COMMANDS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(COMMANDS)}"
        sys.exit(f"{name}: no such command; {hint}")
    else:
        run()
