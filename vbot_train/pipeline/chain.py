"""A chain as it was asked for: its steps, the folder it writes to, and what was typed."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vbot_train.config.checks import check_config
from vbot_train.config.composition import CONF_DIR, ConfigError
from vbot_train.config.schema import Config
from vbot_train.config.validation import validate
from vbot_train.pipeline.schema import AutomlKeys, Stage, read_stages
from vbot_train.pipeline.steps import Step, list_steps
from vbot_train.search.naming import check_name, parse_key
from vbot_train.search.spec import count_workers

OWN_KEYS = ("name", "budget_hours", "hp_trials", "reward_trials", "reward_generations", "pipeline", "hydra")
# Keys that the steps' lines set: what to type instead, and what sets them in an option of conf/pipeline/.
SET_BY_LINES = {
    "search": ("pipeline= names a chain of searches", "search:"),
    "study": ("name= names the chain", "the stage's name"),
    "search.max_trials": ("hp_trials= and reward_trials= set it", "trials:"),
    "search.around": ("the chain sets it", "around:"),
    "search.enqueue": ("the chain sets it", "around:"),
    "init_from": ("the chain sets it", "goes_on:"),
}
SET_IN_STAGES = {"training.env_steps": "length:", "budget_hours": "share:", "hydra.sweep.dir": "the stage's name"}


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain of steps."""

    keys: AutomlKeys
    steps: list[Step]
    config: Config  # what every step starts from, with the whole length of a training
    given: list[str]  # overrides for every step, as they were typed
    own_folders: list[Path]  # of --config-dir
    conf_dir: Path  # of the primary config, for --config-path
    directory: Path

    @property
    def name(self) -> str:
        """The chain's name."""
        return str(self.keys.name)

    @property
    def workers(self) -> int:
        """Trials that train at a time."""
        return count_workers(self.config.workers, self.config.simulation)

    @property
    def options(self) -> list[str]:
        """The command-line options of every step that name folders."""
        own = [part for folder in self.own_folders for part in ("--config-dir", folder.as_posix())]
        return own if self.conf_dir == CONF_DIR else [*own, "--config-path", self.conf_dir.as_posix()]

    def locate(self, step: Step) -> Path:
        """Return the directory of a step's study or run."""
        return self.directory / step.name

    def name_study(self, step: Step) -> str:
        """Return the name of a step's study."""
        return f"{self.name}-{step.name}"

    def find(self, recipe: str) -> Step:
        """Return the step whose best configuration has this name."""
        return next(step for step in self.steps if step.recipe == recipe)


def build_chain(
    content: Mapping[str, Any], typed: Sequence[str], own_folders: Sequence[Path], conf_dir: Path, multirun: Path
) -> Chain:
    """Build a chain from the composed ``conf/automl.yaml``.

    Args:
        content: The composed config, in plain containers, without Hydra's own node.
        typed: Overrides of the command line.
        own_folders: Folders of options, by ``--config-dir``.
        conf_dir: Folder of the primary config, by ``--config-path``.
        multirun: Folder in which the chain's own will be.

    Raises:
        ConfigError: A key or a stage is invalid, or a typed key is one that the stages set.
    """
    own = {key: value for key, value in content.items() if key in AutomlKeys.model_fields}
    keys = validate(AutomlKeys, own)
    base = {key: value for key, value in content.items() if key not in own} | {"budget_hours": None}
    check_name(str(keys.name), "name")
    _check_typed(typed)
    given = [override for override in typed if not _is_own(parse_key(override))]
    stages = read_stages(keys.pipeline.stages)
    _check_stages(stages)
    steps = list_steps(stages, [CONF_DIR, conf_dir, *own_folders])
    return Chain(keys, steps, check_config(base), given, list(own_folders), conf_dir, multirun / str(keys.name))


def _check_typed(typed: Sequence[str]) -> None:
    for override in typed:
        key = parse_key(override)
        if key in SET_BY_LINES:
            raise ConfigError(f"{override}: each stage has its own; {SET_BY_LINES[key][0]}")


def _check_stages(stages: Mapping[str, Stage]) -> None:
    taken = {key: instead for key, (_, instead) in SET_BY_LINES.items()} | SET_IN_STAGES
    for name, stage in stages.items():
        for override in stage.overrides:
            if (instead := taken.get(parse_key(override))) is not None:
                raise ConfigError(f"pipeline.stages.{name}.overrides: {override}: {instead} sets it")


def _is_own(key: str) -> bool:
    """Whether a key or a group, such as ``pipeline/stages``, is one of a chain, not of its steps."""
    return re.split(r"[./@]", key)[0] in OWN_KEYS
