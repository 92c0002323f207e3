"""Provenance of a study: command, code revision, package versions and hardware."""

import importlib.metadata
import os
import platform
import subprocess
import sys
from datetime import datetime
from importlib.util import find_spec
from typing import Any

from vbot_train.config.composition import IS_CHECKOUT, ROOT
from vbot_train.study.storage_url import hide_password_in_argument

PACKAGES = ("hydra-core", "omegaconf", "hydra-optuna-sweeper", "optuna", "torch", "skrl", "mujoco", "numpy")
GPU_PACKAGES = ("mujoco-warp", "warp-lang")  # of an optional extra


def describe_provenance() -> dict[str, Any]:
    """Return command, time, code revision, versions and hardware."""
    packages = (*PACKAGES, *(GPU_PACKAGES if find_spec("mujoco_warp") else ()))
    return {
        "command": [hide_password_in_argument(argument) for argument in sys.argv],
        "time": datetime.now().astimezone().isoformat(timespec="seconds"),
        "revision": read_revision(),
        "versions": {"python": platform.python_version(), **{p: importlib.metadata.version(p) for p in packages}},
        "hardware": {"machine": platform.machine(), "system": platform.platform(), "cores": os.cpu_count()},
    }


def read_revision() -> str | None:
    """Return the commit of the code, marked if there are uncommitted changes; of an installed wheel, its version.

    Returns:
        None if the code is a copy of a checkout, without git.
    """
    if not IS_CHECKOUT:  # a repository around the environment is another project's
        return importlib.metadata.version("vbot-train")
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, encoding="utf-8", check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
