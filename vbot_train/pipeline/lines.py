"""The command line of each step: what a person would type."""

import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

from vbot_train.pipeline.chain import Chain
from vbot_train.pipeline.schema import Search
from vbot_train.pipeline.steps import DEFAULT, Step
from vbot_train.search.naming import format_as_argument, parse_key
from vbot_train.search.spec import AROUND_TOP
from vbot_train.study.storage_url import hide_password_in_argument
from vbot_train.terminal import name_command

PROBE_UPDATES = 4  # trainings that measure the speed
PROBE_EPISODES = 32
CANDIDATES = "candidates"  # folder of recipes: the best of each search, and the default
FREE = ("training.torch_threads", "simulation.threads")  # of a single training, whatever a trial shared


def build_search_line(
    chain: Chain, step: Step, base: str | None, hours: float, around: Step | None = None, taken_over: int = 0
) -> list[str]:
    """Build the line of a search.

    Args:
        chain: The chain.
        step: The search.
        base: Recipe that it starts from, one of the chain's candidates; None: the default.
        hours: Wall clock [h] that it may spend, over all its resumes.
        around: Earlier search around whose best it searches; None: it searches its whole ranges.
        taken_over: Configurations that it takes over from that search, in addition to its own.
    """
    stage = step.stage
    assert isinstance(stage, Search)
    narrowed = [] if around is None else _search_around(chain.locate(around))
    trials = f"search.max_trials={stage.trials + taken_over}"
    own = [f"search={stage.search}", *stage.overrides, *_start_from(chain, base), *narrowed, trials]
    return [*chain.options, *_name_folder(chain, base), "-m", *_finish_study(chain, step, own, stage.length, hours)]


def build_comparison_line(
    chain: Chain, step: Step, recipes: Sequence[str], hours: float, test_seeds: int | None = None
) -> list[str]:
    """Build the line that compares the recipes among the chain's candidates, within so many hours.

    A recipe that was typed stands before the list of them: it makes the configuration that a search calls the default.
    The training seed is another one than that of the searches, on which the candidates were chosen.
    """
    assert not isinstance(step.stage, Search)
    all_of_them = ["method=grid", "scheduler=none", f"search.max_trials={len(recipes)}"]
    fresh = f"seed={chain.config.seed + 1}"
    seeds = [] if test_seeds is None else [f"search.test.seeds={test_seeds}"]
    candidates = f"experiment={','.join(recipes)}"
    own = [*step.stage.overrides, *seeds, *chain.given, candidates, *all_of_them, fresh]
    typed = [override for override in chain.given if parse_key(override) == "experiment"]
    line = _finish_study(chain, step, own, step.stage.length, hours)
    return [*chain.options, *_name_folder(chain, DEFAULT), "-m", *typed, *line]


def build_training_line(chain: Chain, step: Step, base: str | None, before: Path | None) -> list[str]:
    """Build the line of a single training.

    Args:
        chain: The chain.
        step: The training.
        base: Recipe that it trains, one of the chain's candidates; None: the default.
        before: Run whose networks it starts from; None: new ones.
    """
    typed = {parse_key(override) for override in chain.given}
    free = [f"{key}=null" for key in FREE if base is not None and key not in typed]
    start = [] if before is None else [f"init_from={_format(before)}"]
    own = [*free, *step.stage.overrides, *_start_from(chain, base), *start, _set_length(chain, step.stage.length)]
    place = f"hydra.run.dir={_format(chain.locate(step))}"
    return [*chain.options, *_name_folder(chain, base), *_keep_last([*own, place])]


def build_probe_line(chain: Chain, directory: Path) -> list[str]:
    """Build the line of short trainings, one per worker, that measure the speed of this machine."""
    config = chain.config
    seeds = ",".join(str(config.seed + k) for k in range(chain.workers))
    own = [
        *chain.given,
        f"seed=choice({seeds})",  # one seed too is a search, of one training
        f"training.env_steps={min(PROBE_UPDATES * config.rollout_env_steps, config.training.env_steps)}",
        "training.evaluations=1",
        f"training.evaluation_episodes={min(PROBE_EPISODES, config.training.evaluation_episodes)}",
        "scheduler=none",
        "search.confirm=none",
        format_as_argument(f"{chain.name}-{directory.name}"),
        f"hydra.sweep.dir={_format(directory)}",
    ]
    return [*chain.options, "-m", *_keep_last(own)]


def format_line(arguments: Sequence[str], command: str | None = None) -> str:
    """Format the arguments of a command as the line that a person types, without a password."""
    return f"{name_command(command)} {shlex.join(map(hide_password_in_argument, arguments))}"


def _search_around(study: Path) -> list[str]:
    """Return what narrows the ranges around a study's best, and takes their results over where nothing differs."""
    return [f"search.around={_format(study)}", f"search.enqueue=['{_format(study)}:{AROUND_TOP}']"]


def _start_from(chain: Chain, base: str | None) -> list[str]:
    """Return what was typed, with one of the chain's candidates in place of a recipe that was typed."""
    if base is None:
        return chain.given
    return [*(override for override in chain.given if parse_key(override) != "experiment"), f"experiment={base}"]


def _name_folder(chain: Chain, base: str | None) -> list[str]:
    return [] if base is None else ["--config-dir", _format(chain.directory / CANDIDATES)]


def _set_length(chain: Chain, length: float) -> str:
    return f"training.env_steps={max(round(length * chain.config.training.env_steps), chain.config.rollout_env_steps)}"


def _finish_study(chain: Chain, step: Step, own: Iterable[str], length: float, hours: float) -> list[str]:
    place = [format_as_argument(chain.name_study(step)), f"hydra.sweep.dir={_format(chain.locate(step))}"]
    return _keep_last([*own, _set_length(chain, length), *place, f"budget_hours={hours:.4f}"])


def _keep_last(overrides: Iterable[str]) -> list[str]:
    """Return overrides without those whose key comes again: Hydra takes an option of a group once."""
    last = {parse_key(override): override for override in overrides}
    return list(last.values())


def _format(path: Path) -> str:
    return path.as_posix()
