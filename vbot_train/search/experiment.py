"""A trial as an option of the config group ``experiment``: what it takes to train it again."""

from collections.abc import Mapping
from typing import Any

import yaml

from vbot_train.config import GROUPS
from vbot_train.search.space import Candidate

# What changes a trial's result; the study's own keys (budget, workers, name) do not.
KEYS = (*GROUPS, "seed", "init_from", "evaluation")


def experiment_of(candidate: Candidate) -> str:
    """The body of the option: groups written as groups, and every value that differs from them."""
    base = candidate.base
    body: dict[str, Any] = {
        "defaults": [{f"override /{group}": candidate.choices[group]} for group in GROUPS],
        **difference({key: candidate.config[key] for key in KEYS}, base),
    }
    metric = candidate.config["search"]["metric"]  # it chose the checkpoint
    if metric != base["search"]["metric"]:
        body["search"] = {"metric": metric}
    text: str = yaml.safe_dump(body, sort_keys=False, allow_unicode=True)
    return text


def difference(config: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    """The values of ``config`` that ``base`` lacks or has otherwise, nested alike."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping) and isinstance(base.get(key), Mapping):
            if nested := difference(value, base[key]):
                found[key] = nested
        elif key not in base or base[key] != value:
            found[key] = value
    return found
