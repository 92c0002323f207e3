"""One search, from the composed config to the finished study."""

import importlib.util
import signal
import types
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from hydra.types import HydraContext
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from optuna.trial import TrialState
from rich.console import Console

from vbot_train.config import ConfigError, available_cores, check_search, check_values, choices_of, plain
from vbot_train.search.callback import SearchCallback
from vbot_train.search.constraints import BUILT_IN
from vbot_train.search.display import Display
from vbot_train.search.loop import HopelessError, Loop
from vbot_train.search.proposals import FeasibleSampler, Survey, enqueue_grid, survey
from vbot_train.search.space import Candidate, Space, split_overrides
from vbot_train.search.study import create_study, quiet_optuna, record_trial

DEFAULT_TRIALS = 20
GRID = "optuna.samplers.GridSampler"


def run_search(
    sampler: DictConfig, params: dict[str, Any], arguments: list[str], config: DictConfig, context: HydraContext
) -> None:
    """Run a search to its end.

    Raises:
        ConfigError: Something in the config cannot work; nothing was trained.
        SystemExit: The search was stopped: 130 by Ctrl-C, 143 by SIGTERM, 1 where every trial failed alike.
    """
    quiet_optuna()
    try:
        search = Search(sampler, params, arguments, config, context)
        with stop_on_signals() as stop, search.display:
            search.loop(stop).run()
    except KeyboardInterrupt:
        raise SystemExit(128 + signal.SIGINT) from None
    except HopelessError as error:
        raise SystemExit(str(error)) from error
    if stop.number is not None:
        raise SystemExit(128 + stop.number)
    if not search.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        raise SystemExit(f"study={search.study.study_name}: no trial was completed; each trial's result.yaml says why")


@dataclass(slots=True)
class Stop:
    """The signal that asked the search to stop, None while none has."""

    number: int | None = None


class Search:
    """A search: its space, its study, and how many trials it takes."""

    def __init__(
        self,
        sampler: DictConfig,
        params: dict[str, Any],
        arguments: list[str],
        config: DictConfig,
        context: HydraContext,
    ) -> None:
        self.job = plain(config)
        check_search(self.job)
        self.config = config
        self.seed = self.job["seed"]
        self.metric = self.job["search"]["metric"]
        self.grid = sampler["_target_"] == GRID
        self.callback = next(c for c in context.callbacks.callbacks if isinstance(c, SearchCallback))
        self.workers = worker_count(self.job["workers"])
        distributions, fixed = split_overrides(params, arguments)
        if not distributions and not params:
            raise ConfigError("-m: nothing to search; add search=quick, or a sweep such as ppo.rollouts=24,48")
        self.space = Space(distributions, [*fixed, *self.thread_overrides()], config, context.config_loader)
        found = survey(self.space, self.broken_rules, grid=self.grid, seed=self.seed)
        self.total = self._total(found)
        self.directory = Path(config.hydra.sweep.dir)
        self.study = create_study(
            self.directory,
            self.job["study"],
            self.metric,
            optuna.samplers.RandomSampler() if self.grid else build_sampler(sampler),
            self._record(sampler, found),
        )
        self.callback.study_dir = self.directory
        self._prepare(found)
        self.draw = FeasibleSampler(self.study, self.space, self.broken_rules, self.seed).draw
        self.display = Display(self.metric, self.total)

    def broken_rules(self, candidate: Candidate) -> list[str]:
        """The callback's answer about a candidate, whose every value must be one that can train."""
        check_values(candidate.config)
        return self.callback.broken_rules(candidate.config, candidate.choices)

    def thread_overrides(self) -> list[str]:
        """Trials that share the machine run on one thread each: two beside a busy neighbour collapse."""
        keys = {"simulation.threads": self.job["simulation"], "training.torch_threads": self.job["training"]}
        if self.workers == 1:
            return []
        return [f"{key}=1" for key, node in keys.items() if node[key.split(".")[1]] is None]

    def _total(self, found: Survey) -> int:
        wanted = self.job["search"]["max_trials"]
        if self.grid:
            return found.feasible if wanted is None else min(wanted, found.feasible)
        return DEFAULT_TRIALS if wanted is None else int(wanted)

    def _prepare(self, found: Survey) -> None:
        """Fill the queue: a grid's cells, or the default configuration as trial 0. Say what is searched."""
        console = Console(highlight=False, soft_wrap=True)
        console.print(f"study {self.job['study']} in {self.directory}, {self.total} trials, {self.workers} workers")
        for key, text in self.space.describe().items():
            console.print(f"  {key}: {text}", markup=False)
        kind = "cells" if self.grid else "random points"
        broken = "".join(f", {count} break {rule}" for rule, count in found.broken.items())
        console.print(f"  {found.feasible} of {found.points} {kind} are feasible{broken}", markup=False)
        for rule in self.callback.rules:
            if rule not in found.holds and rule not in BUILT_IN:
                console.print(f"  warning: the rule {rule} holds for none of them", markup=False)
        if self.grid:
            self.study.set_user_attr("infeasible", found.broken)
            enqueue_grid(self.study, self.space, self.broken_rules, self.total)
        else:
            self._enqueue_default(console)

    def _enqueue_default(self, console: Console) -> None:
        default = self.space.default(self.job, choices_of(self.config))
        if default is None:
            console.print("  the default configuration lies outside the space, so it is not trial 0")
        elif rules := self.broken_rules(self.space.candidate(default)):
            console.print(f"  the default configuration breaks {rules[0]}, so it is not trial 0", markup=False)
        else:
            self.study.enqueue_trial(default)

    def loop(self, stop: Stop) -> Loop:
        """The loop over this search's trials, until it is told to stop."""
        return Loop(
            self.study,
            self.directory,
            self.next_candidate,
            metric=self.metric,
            workers=self.workers,
            stopped=lambda: stop.number is not None,
            record=self._record_trial,
            display=self.display,
        )

    def _record_trial(self, directory: Path, number: int, candidate: Candidate) -> None:
        record_trial(directory, number, candidate, self.config.hydra)

    def next_candidate(self) -> tuple[optuna.Trial, Candidate] | None:
        """Ask the study for the next trial, None when all have been started."""
        if len(self.study.get_trials(deepcopy=False)) - self._waiting() >= self.total:
            return None
        if self._waiting() == 0:
            self.study.enqueue_trial(self.draw().params)
        trial = self.study.ask(self.space.distributions)
        return trial, self.space.candidate(trial.params)

    def _waiting(self) -> int:
        return len(self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,)))

    def _record(self, sampler: DictConfig, found: Survey) -> dict[str, Any]:
        return {
            "space": self.space.describe(),
            "fixed": self.space.fixed,
            "constraints": self.callback.rules,
            "feasible_share": found.share,
            "max_trials": self.total,
            "sampler": OmegaConf.to_container(sampler, resolve=True),
            "groups": choices_of(self.config),
            "config": self.job,
        }


def build_sampler(config: DictConfig) -> optuna.samplers.BaseSampler:
    """Instantiate an Optuna sampler; nothing but a sampler.

    Raises:
        ConfigError: It needs an extra that is not installed.
    """
    if config["_target_"].endswith("GPSampler") and importlib.util.find_spec("scipy") is None:
        raise ConfigError("method=gp: needs scipy; pip install -e '.[gp]'")
    whitelist = ("hydra_plugins.hydra_optuna_sweeper.*", "optuna.samplers.*")
    sampler = instantiate(config, _execution_whitelist_=whitelist)
    assert isinstance(sampler, optuna.samplers.BaseSampler)
    return sampler


def worker_count(workers: Any) -> int:
    """Number of trial processes; ``auto`` is one per core."""
    return available_cores() if workers == "auto" else int(workers)


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """Let Ctrl-C and SIGTERM ask the search to stop, between two steps of its loop. The second one is not asked."""
    stop = Stop()
    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def ask(received: int, frame: types.FrameType | None) -> None:
        stop.number = received
        for number, handler in previous.items():
            signal.signal(number, handler)

    for number in previous:
        signal.signal(number, ask)
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
