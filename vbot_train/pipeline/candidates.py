"""The candidates of a comparison: the best configuration of each earlier search, and the default, as recipes."""

from collections.abc import Iterator, Sequence
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
BEST = Path("experiment") / "best.yaml"
SET_BY_LINE = ("training", "search")  # a comparison's line sets them for all


def locate_best(chain: Chain, step: Step) -> Path | None:
    """Return the folder with the recipe ``best`` of a step; None if it has none."""
    folder = chain.locate(step) / "analysis"
    return folder if step.is_search and (folder / BEST).is_file() else None


def write_candidates(chain: Chain, earlier: Sequence[Step]) -> list[str]:
    """Write the candidates. Returns their names, the default first, without those that another one equals."""
    folder = chain.directory / CANDIDATES
    (folder / "experiment").mkdir(parents=True, exist_ok=True)
    names = []
    for name, text in _list_recipes(chain, earlier):
        write_atomically(folder / "experiment" / f"{name}.yaml", text)
        names.append(name)
    use_folders([*chain.own_folders, folder], chain.conf_dir)
    kept: dict[str, dict[str, Any]] = {}
    for name in names:
        content = compose_recipe(name, chain.given, chain.conf_dir)
        if not any(composes_same(content, other, but=SET_BY_LINE) for other in kept.values()):
            kept[name] = content
    return list(kept)


def _list_recipes(chain: Chain, earlier: Sequence[Step]) -> Iterator[tuple[str, str]]:
    typed = [each.partition("=")[2] for each in chain.given if parse_key(each) == "experiment"]
    same = f"seed: {chain.config.seed}\n"  # an option needs a key
    yield DEFAULT, HEADER + (f"defaults:\n- {typed[-1]}\n" if typed else same)
    for step in earlier:
        if (found := locate_best(chain, step)) is not None:
            yield step.recipe, (found / BEST).read_text(encoding="utf-8")
