"""Reading and writing the complete state of a training run between two updates, in one file.

A run that resumes from the file reaches the same result. Each component provides its own ``state_dict`` and
``load_state_dict``; this module writes them to the disk and reads them. The file holds tensors and plain data; loading
it executes no code.
"""

import importlib.metadata
import io
import logging
import platform
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from vbot_train.config.composition import ConfigError
from vbot_train.config.schema import Simulation
from vbot_train.training.comparable import refuse_other_config
from vbot_train.training.files import remove_file, write_atomically
from vbot_train.training.run_directory import StateError, state_path

log = logging.getLogger(__name__)

SCHEMA_VERSION = 1


def write_state(run_dir: Path, config: Mapping[str, Any], machine: Mapping[str, Any], parts: Mapping[str, Any]) -> None:
    """Write the state of a training run atomically.

    Args:
        run_dir: The run's directory.
        config: The run's config, in plain containers. The storage URL, which may contain a password, is left out.
        machine: The result of ``describe_machine``.
        parts: State of each component by name: tensors and plain data.
    """
    path, content = state_path(run_dir), io.BytesIO()
    path.parent.mkdir(exist_ok=True)
    head = {
        "schema_version": SCHEMA_VERSION,
        "config": {**config, "storage": None},
        "made_by": machine,
    }
    torch.save({**head, **parts}, content)
    write_atomically(path, content.getvalue())


def read_state(run_dir: Path, config: Mapping[str, Any], machine: Mapping[str, Any]) -> dict[str, Any] | None:
    """Read a state that ``write_state`` wrote; None if there is none. Logs a warning if the result may differ.

    Raises:
        ConfigError: The state belongs to another configuration or version, is truncated, or is not a state.
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
    _warn_of_changes(path, state["made_by"], machine)
    return state


def remove_state(run_dir: Path) -> None:
    """Remove the state of a finished training run, and temporary files that killed processes left."""
    path = state_path(run_dir)
    for each in (path, *path.parent.glob(f".*.{path.name}")):
        with suppress(OSError):  # the result is written, so a state that cannot be removed does no harm
            remove_file(each)


def read_random_state(device: torch.device) -> dict[str, Any]:
    """Return the states of torch's global generators, CPU and training GPU; no other global generator is used."""
    cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    return {"cpu": torch.get_rng_state(), "cuda": cuda}


def load_random_state(state: Mapping[str, Any], device: torch.device) -> None:
    """Restore torch's generators. A run that moves between CPU and GPU draws different numbers there."""
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda" and state["cuda"] is not None:
        torch.cuda.set_rng_state(state["cuda"], device)


def _load(path: Path) -> dict[str, Any]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        for key, kind in {"schema_version": int, "config": dict, "made_by": dict}.items():
            if not isinstance(state[key], kind):
                raise TypeError(f"its {key} is damaged")
    except Exception as error:  # torch raises many exception types for a bad file; they mean the same to the user
        log.info("%s: %s", path, describe_reason(error))
        what = "it is truncated, or something else; give another directory to begin anew"
        raise StateError(f"{path}: not the state of a training: {what}") from error
    return dict(state)


def describe_reason(error: Exception) -> str:
    """Return the first line of an exception's message, or the name of its type."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def describe_machine(simulation: Simulation, threads: int) -> dict[str, Any]:
    """Return what, besides the config, can change the numerical result of a training run in the last digits.

    Args:
        simulation: One option of ``conf/simulation/``.
        threads: Torch's threads for updates.
    """
    device = simulation.device if simulation.backend == "warp" else "cpu"
    settings = {"training.torch_threads": threads, "simulation.device": device}
    versions = {name: importlib.metadata.version(name) for name in ("torch", "mujoco", "numpy")}
    return {"host": platform.node(), **settings, **versions}


def _warn_of_changes(path: Path, then: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    changed = [f"{key}: {then.get(key)} -> {value}" for key, value in now.items() if then.get(key) != value]
    if changed:
        text = "continued under other circumstances (%s): its result may differ from one that was never stopped"
        log.warning(f"%s: {text}", path, ", ".join(changed))
