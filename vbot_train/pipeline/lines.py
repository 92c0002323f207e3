"""The command line of each step: what a person would type."""

import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

from vbot_train.pipeline.chain import Chain
from vbot_train.pipeline.schema import Search
from vbot_train.pipeline.steps import Step
from vbot_train.search.naming import format_as_argument, parse_key
from vbot_train.study.storage_url import hide_password_in_argument
from vbot_train.terminal import name_command

PROBE_UPDATES = 4  # trainings that measure the speed
PROBE_EPISODES = 32
CANDIDATES = "candidates"  # folder of the recipes that a comparison compares
SPEED = "0-speed"
FREE = ("training.torch_threads", "simulation.threads")  # of a single training, whatever a trial shared


def build_search_line(chain: Chain, step: Step, base: Path | None, hours: float, taken_over: int) -> list[str]:
    """Build the line of a search.

    Args:
        chain: The chain.
        step: The search.
        base: Folder with the recipe ``best`` that it starts from; None: the default.
        hours: Wall clock [h] that it may spend, over all its resumes.
        taken_over: Configurations of the search around which it searches: they count, but are not trained again.
    """
    stage = step.stage
    assert isinstance(stage, Search)
    around = [] if step.around is None else [f"search.around={_format(chain.locate(chain.find(step.around)))}"]
    own = [
        f"search={stage.search}",
        *stage.overrides,
        *_start_from(chain, base),
        *around,
        f"search.max_trials={stage.trials + taken_over}",
    ]
    return [*chain.options, *_name_folder(base), "-m", *_finish_study(chain, step, own, stage.length, hours)]


def build_comparison_line(chain: Chain, step: Step, recipes: Sequence[str], hours: float) -> list[str]:
    """Build the line that compares the recipes among the chain's candidates, within so many hours.

    A recipe that was typed stands before the list of them: it makes the configuration that a search calls the default.
    """
    assert not isinstance(step.stage, Search)
    folder = ["--config-dir", _format(chain.directory / CANDIDATES)]
    all_of_them = ["method=grid", "scheduler=none", f"search.max_trials={len(recipes)}"]
    own = [*step.stage.overrides, *chain.given, f"experiment={','.join(recipes)}", *all_of_them]
    typed = [override for override in chain.given if parse_key(override) == "experiment"]
    return [*chain.options, *folder, "-m", *typed, *_finish_study(chain, step, own, step.stage.length, hours)]


def build_training_line(chain: Chain, step: Step, base: Path | None, before: Path | None) -> list[str]:
    """Build the line of a single training.

    Args:
        chain: The chain.
        step: The training.
        base: Folder with the recipe ``best`` that it trains; None: the default.
        before: Run whose networks it starts from; None: new ones.
    """
    typed = {parse_key(override) for override in chain.given}
    free = [f"{key}=null" for key in FREE if base is not None and key not in typed]
    start = [] if before is None else [f"init_from={_format(before)}"]
    own = [*free, *step.stage.overrides, *_start_from(chain, base), *start, _set_length(chain, step.stage.length)]
    place = f"hydra.run.dir={_format(chain.locate(step))}"
    return [*chain.options, *_name_folder(base), *_keep_last([*own, place])]


def build_probe_line(chain: Chain) -> list[str]:
    """Build the line of short trainings, one per worker, that measure the speed of this machine."""
    config = chain.config
    seeds = ",".join(str(config.seed + k) for k in range(chain.workers))
    own = [
        *chain.given,
        f"seed={seeds}",
        f"training.env_steps={min(PROBE_UPDATES * config.rollout_env_steps, config.training.env_steps)}",
        "training.evaluations=1",
        f"training.evaluation_episodes={min(PROBE_EPISODES, config.training.evaluation_episodes)}",
        "scheduler=none",
        "search.confirm=none",
        format_as_argument(f"{chain.name}-{SPEED}"),
        f"hydra.sweep.dir={_format(chain.directory / SPEED)}",
    ]
    return [*chain.options, "-m", *_keep_last(own)]


def format_line(arguments: Sequence[str], command: str | None = None) -> str:
    """Format the arguments of a command as the line that a person types, without a password."""
    return f"{name_command(command)} {shlex.join(map(hide_password_in_argument, arguments))}"


def _start_from(chain: Chain, base: Path | None) -> list[str]:
    """Return what was typed, with the best recipe of an earlier step in place of a recipe that was typed."""
    if base is None:
        return chain.given
    return [*(override for override in chain.given if parse_key(override) != "experiment"), "experiment=best"]


def _name_folder(base: Path | None) -> list[str]:
    return [] if base is None else ["--config-dir", _format(base)]


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
