"""How to install the packages of an optional extra, for messages about a missing one."""

import importlib.metadata
import re
import shlex
from importlib.util import find_spec


def format_install(extra: str) -> str:
    """Return the command that installs an extra's packages. It names them: ours need not be on any package index."""
    requirements = importlib.metadata.requires("vbot-train") or []
    split = [requirement.partition(";") for requirement in requirements]
    packages = [name.strip() for name, _, marker in split if re.search(rf"extra == ['\"]{extra}['\"]", marker)]
    return shlex.join(["pip", "install", *packages])


def explain_missing_launcher(argument: str) -> str | None:
    """Return the message for a command-line override that chooses a launcher of an extra that is not installed."""
    if argument != "hydra/launcher=joblib" or find_spec("hydra_plugins.hydra_joblib_launcher") is not None:
        return None
    return f"{argument}: needs the extra `joblib`: {format_install('joblib')}"
