"""The candidates of a comparison: the best configuration of each earlier search, and the default, as recipes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vbot_train.config.folders import use_folders
from vbot_train.pipeline.chain import Chain
from vbot_train.pipeline.compose import compose_recipe
from vbot_train.pipeline.lines import CANDIDATES
from vbot_train.pipeline.steps import DEFAULT, Step
from vbot_train.search.naming import parse_key
from vbot_train.search.space.recipes import composes_same
from vbot_train.training.files import write_atomically

HEADER = "# @package _global_\n"
BEST = Path("analysis") / "experiment" / "best.yaml"
SET_BY_LINE = ("training", "search")  # a comparison's line sets them for all


def take_over_best(chain: Chain, step: Step) -> None:
    """Make the best recipe of a search a candidate, under the step's name. Nothing happens if it has none."""
    best = chain.locate(step) / BEST
    if step.is_search and best.is_file():
        _write(chain, step.recipe, best.read_text(encoding="utf-8"))


def keep_default(chain: Chain, step: Step) -> None:
    """Make the default the best of a comparison, under the step's name: its winner is not proven to be better."""
    _write(chain, step.recipe, _locate(chain, DEFAULT).read_text(encoding="utf-8"))


def find_base(chain: Chain, earlier: Sequence[Step]) -> str | None:
    """Return the candidate of the latest of these steps that has one; None: the default is the best so far."""
    return next((step.recipe for step in reversed(earlier) if _locate(chain, step.recipe).exists()), None)


def write_default(chain: Chain) -> None:
    """Make the configuration that the chain starts from a candidate."""
    typed = [each.partition("=")[2] for each in chain.given if parse_key(each) == "experiment"]
    same = f"seed: {chain.config.seed}\n"  # an option needs a key
    _write(chain, DEFAULT, HEADER + (f"defaults:\n- {typed[-1]}\n" if typed else same))


def list_different(chain: Chain, earlier: Sequence[Step]) -> list[str]:
    """List the candidates of these steps, the default first, without those that another one equals."""
    use_folders([*chain.own_folders, chain.directory / CANDIDATES], chain.conf_dir)
    kept: dict[str, dict[str, Any]] = {}
    for name in [DEFAULT, *(step.recipe for step in earlier if _locate(chain, step.recipe).exists())]:
        content = compose_recipe(name, chain.given, chain.conf_dir)
        if not any(composes_same(content, other, but=SET_BY_LINE) for other in kept.values()):
            kept[name] = content
    return list(kept)


def _locate(chain: Chain, recipe: str) -> Path:
    return chain.directory / CANDIDATES / "experiment" / f"{recipe}.yaml"


def _write(chain: Chain, recipe: str, text: str) -> None:
    path = _locate(chain, recipe)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, text)
