"""Name of a study: exactly as typed, or by default the search's name and the time.

A study is continued by its name, so a search that begins one needs an unused name and directory.
"""

import itertools
import re
import secrets
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf, open_dict

from vbot_train.config.composition import CONF_DIR, ConfigError

KEY = "study"
MOST_BYTES = 240  # a directory name may have 255
SHOWN = 40  # characters shown of a name that is too long
PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")  # needs no quotes
# Names that Windows reserves for devices, or changes to another name.
NOT_ON_WINDOWS = re.compile(r"(con|prn|aux|nul|(com|lpt)[0-9¹²³])(\..*)?|.*\.", re.IGNORECASE)


def set_name(config: DictConfig, arguments: Iterable[str]) -> bool:
    """Set ``study`` in the composed config, before the study's directory is resolved.

    Args:
        config: The composed config.
        arguments: Overrides of the command line.

    Returns:
        Whether it is the default name.

    Raises:
        ConfigError: The name is invalid.
    """
    conf = OmegaConf.load(CONF_DIR / "config.yaml")
    assert isinstance(conf, DictConfig)
    letters, given, default = _read_typed_name(arguments), _read_unresolved_name(config), _read_unresolved_name(conf)
    is_default = given in (None, default)
    with open_dict(config):
        config.study = default if is_default else letters or given
        name = config.study  # resolved
        if is_default and config.storage is not None:  # others may use it from directories not visible here
            name = f"{name}-{secrets.token_hex(3)}"
        if not isinstance(name, str):
            kind = type(name).__name__
            raise ConfigError(f"{KEY}={name}: a name must be text, not {kind}; in a file, quote it: {KEY}: '...'")
        check_name(name)
        config.study = name
    return is_default


def check_name(name: str, key: str = KEY) -> None:
    """Check that a name is valid for a study and for its directory.

    Args:
        name: The name.
        key: Key that gives it, for messages.

    Raises:
        ConfigError: It is not.
    """
    if len(name.encode()) > MOST_BYTES:
        raise ConfigError(f"{key}={name[:SHOWN]}...: has {len(name.encode())} bytes, {MOST_BYTES} are the most")
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise ConfigError(f"{key}={name}: letters, digits, '_', '.' and '-' make a name")
    if sys.platform == "win32" and NOT_ON_WINDOWS.fullmatch(name):
        raise ConfigError(f"{key}={name}: Windows has no directory of this name")


def format_as_argument(name: str) -> str:
    """Return the command-line argument that sets this name."""
    is_plain = PLAIN.fullmatch(name) and name.lower() != "null"
    return f"{KEY}={name}" if is_plain else format_as_override(name)


def format_as_override(name: str) -> str:
    """Return the override that sets this name in Hydra's own grammar."""
    return f"{KEY}='{name}'"


def drop_name(arguments: Iterable[str]) -> list[str]:
    """Return the command-line arguments without those that set the study's name."""
    return [argument for argument in arguments if parse_key(argument) != KEY]


def parse_key(argument: str) -> str:
    """Return the key that a command-line argument sets, in any form: ``study=``, ``++study=``, ``~study``."""
    return argument.partition("=")[0].lstrip("+~").strip()


def find_free_directory(directory: Path) -> Path:
    """Return a path that does not exist: this one, or this one with a number appended."""
    numbered = (directory.with_name(f"{directory.name}-{number}") for number in itertools.count(2))
    return next(path for path in itertools.chain([directory], numbered) if not path.exists())


def reserve(directory: Path) -> bool:
    """Create a directory; return False if it exists, as only one of several searches may take it."""
    try:
        directory.mkdir(parents=True)
    except FileExistsError:
        return False
    return True


def _read_unresolved_name(config: DictConfig) -> Any:
    content = OmegaConf.to_container(OmegaConf.masked_copy(config, KEY), resolve=False)
    assert isinstance(content, dict)
    return content.get(KEY)


def _read_typed_name(arguments: Iterable[str]) -> str | None:
    """Return the name as typed if Hydra reads it as another type: a number (4513e17, 1_000) or a Boolean."""
    named = [override for override in _parse_names(arguments) if not override.is_delete()]
    if not named:
        return None
    line = str(named[-1].input_line)
    if named[-1].is_sweep_override():
        raise ConfigError(f"{line}: a search has one name")
    return None if isinstance(named[-1].value(), str | None) else line.partition("=")[2].strip()


def _parse_names(arguments: Iterable[str]) -> list[Override]:
    return OverridesParser.create().parse_overrides([line for line in arguments if parse_key(line) == KEY])
