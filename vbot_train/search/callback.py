"""Hydra callback: compiles and applies the constraints, and writes the analysis when a search ends."""

import functools
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from filelock import BaseFileLock
from hydra.errors import CompactHydraException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from vbot_train.config.checks import check_config, check_values
from vbot_train.config.composition import join_lines, read_choices, to_plain
from vbot_train.config.keys import GROUPS
from vbot_train.config.validation import refuse
from vbot_train.search.space.constraints import compile_rules, find_broken_rules
from vbot_train.terminal import name_command
from vbot_train.training.comparable import refuse_other_record
from vbot_train.training.run_directory import state_path, take_run_directory

P = ParamSpec("P")
T = TypeVar("T")


def must_happen(method: Callable[P, T]) -> Callable[P, T]:
    """Turn every error into SystemExit: Hydra only warns about other exceptions of a callback and continues."""

    @functools.wraps(method)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return method(*args, **kwargs)
        except (CompactHydraException, ValueError, OSError) as error:  # own errors, or a full disk: no traceback
            raise SystemExit(str(error)) from error
        except Exception as error:
            traceback.print_exc()
            raise SystemExit(f"{type(error).__name__}: {error}") from error

    return wrapped


def find_chosen_search(config: DictConfig) -> str | None:
    """Return the chosen search preset or None; for a list of options, Hydra records an override but no choice."""
    choices = config.hydra.runtime.choices
    if "search" in choices:
        return choices.search
    typed = [override.partition("=")[2] for override in config.hydra.overrides.task if override.startswith("search=")]
    return next(iter(typed), None)


def check_choices(choices: Mapping[str, str]) -> None:
    """Check that each config group has one option: Hydra records no choice for a list of options.

    Args:
        choices: The chosen option of each config group.

    Raises:
        ConfigError: A group has no single option; the message names the first.
    """
    missing = (group for group in GROUPS if group not in choices)
    refuse(f"{group}: must be one option of conf/{group}/, no list and not nothing" for group in missing)


class SearchCallback(Callback):
    """Callback that compiles the constraints before the first training, applies them, and writes the analysis."""

    def __init__(self) -> None:
        self._rules = compile_rules({})
        self.study_dir: Path | None = None  # set when this was the last worker of a study
        self.storage: str | None = None  # URL of that study's storage, None: in its directory
        self.closing_message: str | None = None  # printed when the search ends
        self.run_lock: BaseFileLock | None = None  # on the directory of a single run

    @must_happen
    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Check a single run and lock its directory; a search needs -m, and the constraints apply here too."""
        job = to_plain(config)
        recorded_trial = not OmegaConf.is_missing(config.hydra.job, "num")
        option = find_chosen_search(config)
        if option is not None and not recorded_trial:
            raise SystemExit(f"search={option}: a search needs -m, as in: {name_command()} -m search={option}")
        check_choices(read_choices(config))
        checked = check_config(job)
        self._compile(checked.search.constraints, job, config)
        if (name := self.broken_rule(job, read_choices(config))) is not None:
            text = next(rule.text for rule in self._rules if rule.name == name)
            raise SystemExit(join_lines(f"search.constraints.{name}={text}: this configuration breaks the rule"))
        # Lock it before Hydra writes its record there; held until the process ends.
        run_dir = Path(config.hydra.run.dir)
        self.run_lock = take_run_directory(run_dir)
        if state_path(run_dir).exists():
            refuse_other_record(run_dir, job)

    @must_happen
    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Compile the constraints, and evaluate each on the composed configuration."""
        job = to_plain(config)
        check_choices(read_choices(config))
        checked = check_values(job)  # the constraints read them
        self._compile(checked.search.constraints, job, config)

    @must_happen
    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Write the analysis, also after Ctrl-C, unless the search was refused or other workers continue it."""
        try:
            if self.study_dir is not None:
                from vbot_train.analyze import analyze

                analyze(self.study_dir, storage=self.storage)
        finally:
            if self.closing_message is not None:
                print(self.closing_message)  # noqa: T201 - the command's output

    def broken_rule(self, config: Mapping[str, Any], choices: Mapping[str, str]) -> str | None:
        """Return the name of the first rule that forbids a configuration, None if it may be trained."""
        return next(iter(self.broken_rules(config, choices)), None)

    def broken_rules(self, config: Mapping[str, Any], choices: Mapping[str, str]) -> list[str]:
        """Return the names of all rules that forbid a configuration.

        Args:
            config: The composed config, in plain containers.
            choices: The chosen option of each config group.
        """
        return find_broken_rules(self._rules, config, choices)

    @property
    def rules(self) -> dict[str, str]:
        """Active rules, by name."""
        return {rule.name: rule.text for rule in self._rules}

    def _compile(self, constraints: Any, job: Mapping[str, Any], config: DictConfig) -> None:
        self._rules = compile_rules(constraints)
        for rule in self._rules:
            rule.holds(job, read_choices(config))
