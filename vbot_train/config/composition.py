"""Composition of configs, and reading of recorded ones. Imports neither torch nor mujoco, which load slowly."""

import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
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

PACKAGE = Path(__file__).parents[1]
ROOT = PACKAGE.parent  # of a checkout; where a wheel is installed, a folder of other packages
PACKED_CONF_DIR = PACKAGE / "conf"  # exists in an installed wheel only
IS_CHECKOUT = not PACKED_CONF_DIR.is_dir()
CONF_DIR = ROOT / "conf" if IS_CHECKOUT else PACKED_CONF_DIR
CONFIG_NAME = "config"  # of the primary config in it


class ConfigError(CompactHydraException):
    """The config cannot run. The message is one line with the key and its value."""


def join_lines(text: str) -> str:
    """Return a message in one line, even if a value in it contains line breaks."""
    return " ".join(text.split())


def compose_config(overrides: list[str] | None = None) -> dict[str, Any]:
    """Compose ``conf/config.yaml`` with overrides, outside a Hydra application. Returns plain containers."""
    with compose_apart():
        return to_plain(compose(CONFIG_NAME, overrides=overrides or []))


@contextmanager
def compose_apart(conf_dir: Path = CONF_DIR) -> Iterator[None]:
    """Let Hydra compose from a folder, without disturbing the Hydra application that runs."""
    active = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(conf_dir)):
            yield
    finally:
        GlobalHydra.instance().hydra = active


def to_plain(config: DictConfig, *, resolve: bool = True) -> dict[str, Any]:
    """Convert a composed config to plain containers, with interpolations resolved and without the ``hydra`` node.

    Raises:
        ConfigError: A value cannot be resolved.
    """
    job = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"]) if "hydra" in config else config
    try:
        content = OmegaConf.to_container(job, resolve=resolve)
    except OmegaConfBaseException as error:  # for example, an interpolation of a missing key
        raise ConfigError(f"{error.full_key}: {str(error).splitlines()[0]}") from error
    assert isinstance(content, dict)
    return {str(key): value for key, value in content.items()}


def with_absolute_paths(config: Mapping[str, Any], folder: Path | None = None) -> dict[str, Any]:
    """Return the config with an absolute ``init_from``, which was relative to ``folder`` (None: current folder)."""
    return {**config, "init_from": make_absolute(config.get("init_from"), folder)}


def make_absolute(path: Any, folder: Path | None = None) -> Any:
    """Return a path relative to ``folder`` (None: current folder) as an absolute one; other values unchanged."""
    return str((folder or Path.cwd()) / path) if isinstance(path, str) else path


def quote_option(argument: str) -> str:
    """Return a command-line override, with quotes around an option named like a number, which Hydra requires."""
    group, _, option = argument.partition("=")
    if not re.fullmatch(r"\w+", group) or not (CONF_DIR / group).is_dir() or not re.fullmatch(r"[\w.+-]+", option):
        return argument
    is_word = isinstance(OverridesParser.create().parse_override(argument).value(), str)
    return argument if is_word else f"{group}='{option}'"


def read_choices(config: DictConfig) -> dict[str, str]:
    """Return the chosen option of each of the project's config groups (without Hydra's own groups)."""
    choices = config.hydra.runtime.choices
    return {name: option for name, option in choices.items() if not name.startswith("hydra/")}


def is_composed_from_ours(config: DictConfig) -> bool:
    """Check whether a config was composed from our conf/, not from a user's (``--config-path``, ``--config-name``)."""
    sources = [source.path for source in config.hydra.runtime.config_sources if source.provider == "main"]
    return config.hydra.job.config_name == CONFIG_NAME and [Path(path) for path in sources] == [CONF_DIR]


def load_recorded_config(run_dir: Path) -> dict[str, Any]:
    """Return the config that a run recorded in its directory.

    Raises:
        ConfigError: The directory is not a run directory.
    """
    setup_globals()  # Hydra's resolvers, such as ${now:}
    path = run_dir / ".hydra" / "config.yaml"
    try:
        config = OmegaConf.load(path)
    except (OSError, YAMLError, ValueError) as error:  # ValueError: the file is not text
        raise ConfigError(f"{run_dir}: not the directory of a run ({path} cannot be read)") from error
    if not isinstance(config, DictConfig) or not config:
        raise ConfigError(f"{run_dir}: not the directory of a run ({path} holds no config)")
    return with_stop_at_success(without_pruner(with_randomization(to_plain(config))))


def without_pruner(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recorded config; if it is older than the scheduler, replace its pruner by none."""
    kept = {key: value for key, value in config.items() if key != "pruner"}
    return kept if "scheduler" in kept else {**kept, "scheduler": {"rungs": [], "reduction_factor": 3}}


def with_stop_at_success(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recorded config; if it is older than ``training.stop_at_success``, add the key without effect."""
    training = config.get("training")
    if not isinstance(training, Mapping) or "stop_at_success" in training:
        return dict(config)
    return {**config, "training": {**training, "stop_at_success": None}}


def with_randomization(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recorded config; if it is older than domain randomization, add the settings that turn it off."""
    env = config.get("env")
    if not isinstance(env, Mapping) or "randomization" in env or "task" in env:  # the key ``task`` is newer
        return dict(config)
    off = OmegaConf.load(CONF_DIR / "env" / "section001.yaml")
    assert isinstance(off, DictConfig)
    return {**config, "env": {**env, "randomization": to_plain(off)["env"]["randomization"]}}


def find_checkpoint(path: Path) -> Path:
    """Return the best checkpoint of a run directory; return a path to a file unchanged."""
    return path / "checkpoints" / "best.pt" if path.is_dir() else path


def look_up(config: Mapping[str, Any], key: str) -> Any:
    """Return the value of a dotted key.

    Raises:
        KeyError: There is no such key.
    """
    node: Any = config
    for part in key.split("."):
        if not isinstance(node, Mapping) or part not in node:
            raise KeyError(key)
        node = node[part]
    return node


def with_values(config: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config with other values of some dotted keys; a group that it lacks is added."""
    changed = dict(config)
    for key, value in values.items():
        name, _, inner = key.partition(".")
        changed[name] = with_values(changed.get(name, {}), {inner: value}) if inner else value
    return changed


def count_cores() -> int:
    """Return the number of CPU cores that this process may use, limited by its CPU affinity and its cgroup quota.

    The quota is rounded down, because the system throttles all processes when they exceed it; the result is at least 1.
    """
    if sys.platform != "linux":  # macOS has no CPU affinity; neither macOS nor Windows has cgroup quotas
        return os.cpu_count() or 1
    cores, quota = len(os.sched_getaffinity(0)), read_cpu_quota()
    return cores if quota is None else max(min(cores, int(quota)), 1)
