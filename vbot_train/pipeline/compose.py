"""What a step's line composes: its config, and the ranges that it searches. This checks it before anything trains."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra import compose
from hydra.core.override_parser.overrides_parser import OverridesParser

from vbot_train.config.checks import check_values
from vbot_train.config.composition import CONFIG_NAME, compose_apart, to_plain
from vbot_train.config.schema import Config
from vbot_train.search.naming import parse_key


@dataclass(frozen=True, slots=True)
class Composed:
    """What a line composes."""

    config: Config
    ranges: dict[str, str]  # what varies, in Hydra's sweep grammar
    method: str  # option of conf/method/


def compose_line(line: Sequence[str], conf_dir: Path) -> Composed:
    """Compose a step's line as far as it is known before the chain begins: without the best of an earlier step.

    Args:
        line: Its arguments.
        conf_dir: Folder of the primary config.

    Raises:
        ConfigError: A value is invalid.
        CompactHydraException: A key or an option does not exist.
    """
    overrides = [each for each in _list_overrides(line) if parse_key(each).split(".")[0] != "hydra"]
    parsed = OverridesParser.create().parse_overrides(overrides)
    fixed = [text for text, each in zip(overrides, parsed, strict=True) if not each.is_sweep_override()]
    with compose_apart(conf_dir):
        found = compose(CONFIG_NAME, overrides=fixed, return_hydra_config=True)
    params = dict(found.hydra.sweeper.params or {})
    typed = {parse_key(each) for each in overrides}
    ranges = {key: text for key, text in params.items() if key not in typed}
    return Composed(check_values(to_plain(found)), ranges, str(found.hydra.runtime.choices["method"]))


def compose_recipe(name: str, given: Sequence[str], conf_dir: Path) -> dict[str, Any]:
    """Compose a recipe of the folders in use with what was typed, in plain containers."""
    kept = [each for each in given if parse_key(each) != "experiment"]
    with compose_apart(conf_dir):
        return to_plain(compose(CONFIG_NAME, overrides=[*kept, f"experiment={name}"]))


def _list_overrides(line: Sequence[str]) -> Iterator[str]:
    """Yield the arguments of a line that are overrides, without options and their values."""
    arguments = iter(line)
    for argument in arguments:
        if argument in ("--config-dir", "--config-path"):
            next(arguments)
        elif not argument.startswith("-"):
            yield argument
