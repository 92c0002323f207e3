"""Compose a configuration, or read a recorded one. Imports neither torch nor mujoco: it runs before anything trains."""

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import setup_globals
from hydra.errors import CompactHydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from vbot_train.config.cpu_quota import read_cpu_quota

ROOT = Path(__file__).parents[2]
CONF_DIR = ROOT / "conf"
# Config groups that a trial's result depends on.
GROUPS = ("env", "reward", "ppo", "network", "training", "simulation")


class ConfigError(CompactHydraException):
    """A configuration that cannot run. The message is one line with the key and its value."""


def join_lines(text: str) -> str:
    """A message without line breaks, whatever the value in it."""
    return " ".join(text.split())


def compose_config(overrides: list[str] | None = None) -> dict[str, Any]:
    """Compose ``conf/config.yaml`` with overrides, outside a Hydra application. Returns plain containers."""
    active = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(CONF_DIR)):
            return to_plain(compose("config", overrides=overrides or []))
    finally:
        GlobalHydra.instance().hydra = active


def to_plain(config: DictConfig, *, resolve: bool = True) -> dict[str, Any]:
    """A composed config in plain containers, interpolations resolved, without Hydra's own node.

    Raises:
        ConfigError: A value cannot be resolved.
    """
    job = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"]) if "hydra" in config else config
    try:
        content = OmegaConf.to_container(job, resolve=resolve)
    except OmegaConfBaseException as error:  # an interpolation that leads nowhere
        raise ConfigError(f"{error.full_key}: {str(error).splitlines()[0]}") from error
    assert isinstance(content, dict)
    return {str(key): value for key, value in content.items()}


def with_absolute_paths(config: Mapping[str, Any], folder: Path | None = None) -> dict[str, Any]:
    """A config that means the same wherever it is read: ``init_from`` was typed in that folder, or in this one."""
    return {**config, "init_from": make_absolute(config.get("init_from"), folder)}


def make_absolute(path: Any, folder: Path | None = None) -> Any:
    """A path as it was typed in a folder (None is the current one), absolute; what is no path stays."""
    return str((folder or Path.cwd()) / path) if isinstance(path, str) else path


def quote_option(argument: str) -> str:
    """An override of the command line; an option named like a number is put in quotes, for Hydra takes none without."""
    group, _, option = argument.partition("=")
    if not re.fullmatch(r"\w+", group) or not (CONF_DIR / group).is_dir() or not re.fullmatch(r"[\w.+-]+", option):
        return argument
    is_word = isinstance(OverridesParser.create().parse_override(argument).value(), str)
    return argument if is_word else f"{group}='{option}'"


def read_choices(config: DictConfig) -> dict[str, str]:
    """The chosen option of each of our config groups (not Hydra's own)."""
    choices = config.hydra.runtime.choices
    return {name: option for name, option in choices.items() if not name.startswith("hydra/")}


def load_recorded_config(run_dir: Path) -> dict[str, Any]:
    """The config that a run recorded in its directory.

    Raises:
        ConfigError: The directory is not that of a run.
    """
    setup_globals()  # Hydra's resolvers, such as ${now:}
    path = run_dir / ".hydra" / "config.yaml"
    try:
        config = OmegaConf.load(path)
    except (OSError, YAMLError, ValueError) as error:  # the last where it is no text
        raise ConfigError(f"{run_dir}: not the directory of a run ({path} cannot be read)") from error
    assert isinstance(config, DictConfig)
    return with_randomization(to_plain(config))


def with_randomization(config: Mapping[str, Any]) -> dict[str, Any]:
    """A recorded config; one from before robots could be randomized says now that they were not."""
    env = config.get("env")
    if not isinstance(env, Mapping) or "randomization" in env:
        return dict(config)
    off = OmegaConf.load(CONF_DIR / "env" / "section001.yaml")
    assert isinstance(off, DictConfig)
    return {**config, "env": {**env, "randomization": to_plain(off)["randomization"]}}


def list_training_seeds(config: Mapping[str, Any]) -> list[int]:
    """The seeds that a search trains each configuration on, a trial each."""
    return [config["seed"] + k for k in range(config["search"]["seeds_per_configuration"])]


def find_checkpoint(path: Path) -> Path:
    """The checkpoint that a run directory or a file stands for: a run's best one."""
    return path / "checkpoints" / "best.pt" if path.is_dir() else path


def look_up(config: Mapping[str, Any], key: str) -> Any:
    """The value of a dotted key.

    Raises:
        KeyError: There is no such key.
    """
    node: Any = config
    for part in key.split("."):
        if not isinstance(node, Mapping) or part not in node:
            raise KeyError(key)
        node = node[part]
    return node


def count_cores() -> int:
    """CPU cores that this process may use: those it may run on, as far as its container's quota goes.

    Rounded down, for one process more than there are cores has the system pause them all; but one at least.
    """
    if sys.platform != "linux":  # macOS binds no process to cores; both it and Windows know no such quota
        return os.cpu_count() or 1
    cores, quota = len(os.sched_getaffinity(0)), read_cpu_quota()
    return cores if quota is None else max(min(cores, int(quota)), 1)


def needs_gpu(simulation: Mapping[str, Any]) -> bool:
    """Whether an option of ``conf/simulation/`` needs a GPU."""
    return read_backend(simulation) == "warp" and simulation["device"] != "cpu"


def read_backend(simulation: Mapping[str, Any]) -> str:
    """What steps the robots; runs that were recorded before there was a choice are MuJoCo's."""
    return simulation.get("backend", "mujoco")
