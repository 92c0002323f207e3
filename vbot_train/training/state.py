"""The whole state of a training between two updates: one file, from which it goes on to the same result.

Each part of a training knows its own state (``state_dict``, ``load_state_dict``). Here they are written to the disk and
read from it. The file holds tensors and plain data; reading it runs no code.
"""

import io
import logging
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from vbot_train.config.composition import ConfigError
from vbot_train.training.comparable import refuse_other_config
from vbot_train.training.files import write_atomically
from vbot_train.training.run_directory import StateError, state_path

log = logging.getLogger(__name__)

SCHEMA_VERSION = 1


def write_state(run_dir: Path, config: Mapping[str, Any], threads: int, parts: Mapping[str, Any]) -> None:
    """Write the state of a training, whole or not at all.

    Args:
        run_dir: The training's directory.
        config: Its config. The storage's URL, which may hold a password, is left out.
        threads: Threads of torch for updates.
        parts: What ``load_parts`` is to find, tensors and plain data.
    """
    path, content = state_path(run_dir), io.BytesIO()
    path.parent.mkdir(exist_ok=True)
    head = {"schema_version": SCHEMA_VERSION, "config": {**config, "storage": None}, "made_by": _maker(threads)}
    torch.save({**head, **parts}, content)
    write_atomically(path, content.getvalue())


def read_state(run_dir: Path, config: Mapping[str, Any], threads: int) -> dict[str, Any] | None:
    """Read what ``write_state`` wrote, None where nothing is to be continued. Says so where the result may differ.

    Raises:
        ConfigError: It is of another configuration, cut short, not a state, or of another version.
    """
    path = state_path(run_dir)
    if not path.exists():
        return None
    state = _load(path)
    if state["schema_version"] != SCHEMA_VERSION:
        raise StateError(f"{path}: of schema version {state['schema_version']}, this program reads {SCHEMA_VERSION}")
    try:
        refuse_other_config(str(path), state["config"], config)
    except ConfigError as error:
        raise StateError(str(error)) from error
    _warn_of_changes(path, state["made_by"], _maker(threads))
    return state


def remove_state(run_dir: Path) -> None:
    """Remove the state of a training that has its result, and what a killed process left of one."""
    path = state_path(run_dir)
    for each in (path, *path.parent.glob(f".*.{path.name}")):
        each.unlink(missing_ok=True)


def read_random_state(device: torch.device) -> dict[str, Any]:
    """Torch's own generators: of the CPU, and of the GPU that the training is on. Nothing else draws globally."""
    cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    return {"cpu": torch.get_rng_state(), "cuda": cuda}


def load_random_state(state: Mapping[str, Any], device: torch.device) -> None:
    """Set torch's generators; one that moves between CPU and GPU draws other numbers there."""
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda" and state["cuda"] is not None:
        torch.cuda.set_rng_state(state["cuda"], device)


def _load(path: Path) -> dict[str, Any]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        for key, kind in {"schema_version": int, "config": dict, "made_by": dict}.items():
            if not isinstance(state[key], kind):
                raise TypeError(f"its {key} is damaged")
    except Exception as error:  # torch raises half a dozen types on a bad file; all mean the same to the user
        raise StateError(f"{path}: not the state of a training ({describe_reason(error)})") from error
    return dict(state)


def describe_reason(error: Exception) -> str:
    """What an exception says, in a line."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _maker(threads: int) -> dict[str, Any]:
    """What the last digits of a training depend on beside its config."""
    return {"host": platform.node(), "torch": str(torch.__version__), "training.torch_threads": threads}


def _warn_of_changes(path: Path, then: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    changed = [f"{key}: {then.get(key)} -> {value}" for key, value in now.items() if then.get(key) != value]
    if changed:
        text = "continued under other circumstances (%s): its result may differ from one that was never stopped"
        log.warning(f"%s: {text}", path, ", ".join(changed))
