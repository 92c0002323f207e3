"""What a study is called: as it was typed, letter for letter, or else after its search and the time.

A study is continued by its name. So a search that is to begin one takes a name, and a directory, that no other has.
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
MOST_BYTES = 240  # the name of a directory may have 255
SHOWN = 40  # characters of a name that is too long
PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")  # what needs no quotes
# What names a device on Windows in every directory, or is made into another name there.
NOT_ON_WINDOWS = re.compile(r"(con|prn|aux|nul|(com|lpt)[0-9¹²³])(\..*)?|.*\.", re.IGNORECASE)


def set_name(config: DictConfig, arguments: Iterable[str]) -> bool:
    """Set ``study`` in the composed config, before the study's directory is asked for.

    Args:
        config: The composed config.
        arguments: Overrides of the command line.

    Returns:
        Whether it is the default name: none was asked for.

    Raises:
        ConfigError: It is no name.
    """
    conf = OmegaConf.load(CONF_DIR / "config.yaml")
    assert isinstance(conf, DictConfig)
    letters, given, default = _typed_letters(arguments), _unresolved(config), _unresolved(conf)
    is_default = given in (None, default)
    with open_dict(config):
        config[KEY] = default if is_default else letters or given
        name = config[KEY]  # resolved
        if is_default and config.storage is not None:  # which others use from directories that are not seen here
            name = f"{name}-{secrets.token_hex(3)}"
        if not isinstance(name, str):
            kind = type(name).__name__
            raise ConfigError(f"{KEY}={name}: a name must be text, not {kind}; in a file, quote it: {KEY}: '...'")
        check_name(name)
        config[KEY] = name
    return is_default


def check_name(name: str) -> None:
    """Refuse what cannot be the name of a study, and of its directory.

    Raises:
        ConfigError: It cannot.
    """
    if len(name.encode()) > MOST_BYTES:
        raise ConfigError(f"{KEY}={name[:SHOWN]}...: has {len(name.encode())} bytes, {MOST_BYTES} are the most")
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise ConfigError(f"{KEY}={name}: letters, digits, '_', '.' and '-' make a study's name")
    if sys.platform == "win32" and NOT_ON_WINDOWS.fullmatch(name):
        raise ConfigError(f"{KEY}={name}: Windows has no directory of this name")


def format_as_argument(name: str) -> str:
    """The argument of a search's command line that gives this name."""
    is_plain = PLAIN.fullmatch(name) and name.lower() != "null"
    return f"{KEY}={name}" if is_plain else format_as_override(name)


def format_as_override(name: str) -> str:
    """The override that gives Hydra itself this name."""
    return f"{KEY}='{name}'"


def drop_name(arguments: Iterable[str]) -> list[str]:
    """The arguments of a command line, but for those that name the study."""
    return [argument for argument in arguments if parse_key(argument) != KEY]


def parse_key(argument: str) -> str:
    """The key that an argument of the command line sets, however: ``study=``, ``++study=``, ``~study``."""
    return argument.partition("=")[0].lstrip("+~").strip()


def find_free_directory(directory: Path) -> Path:
    """A directory that is not there: this one, or else it with a number."""
    numbered = (directory.with_name(f"{directory.name}-{number}") for number in itertools.count(2))
    return next(path for path in itertools.chain([directory], numbered) if not path.exists())


def reserve(directory: Path) -> bool:
    """Make a directory. Returns whether this search did: of several that want it, one does."""
    try:
        directory.mkdir(parents=True)
    except FileExistsError:
        return False
    return True


def _unresolved(config: DictConfig) -> Any:
    content = OmegaConf.to_container(OmegaConf.masked_copy(config, KEY), resolve=False)
    assert isinstance(content, dict)
    return content.get(KEY)


def _typed_letters(arguments: Iterable[str]) -> str | None:
    """The name letter for letter, where Hydra reads something else: a number, as in 4513e17 and 1_000, or true."""
    named = [override for override in _parsed(arguments) if not override.is_delete()]
    if not named:
        return None
    line = str(named[-1].input_line)
    if named[-1].is_sweep_override():
        raise ConfigError(f"{line}: a search has one name")
    return None if isinstance(named[-1].value(), str | None) else line.partition("=")[2].strip()


def _parsed(arguments: Iterable[str]) -> list[Override]:
    return OverridesParser.create().parse_overrides([line for line in arguments if parse_key(line) == KEY])
