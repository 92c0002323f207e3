"""How to install the packages of an optional extra, for messages about a missing one."""

import importlib.metadata
import re
import shlex


def format_install(extra: str) -> str:
    """Return the command that installs an extra's packages. It names them: ours need not be on any package index."""
    requirements = importlib.metadata.requires("vbot-train") or []
    split = [requirement.partition(";") for requirement in requirements]
    packages = [name.strip() for name, _, marker in split if re.search(rf"extra == ['\"]{extra}['\"]", marker)]
    return shlex.join(["pip", "install", *packages])
