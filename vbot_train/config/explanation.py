"""What is wrong with a config, in one line for the user: the key, the value, and what it must be."""

import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from vbot_train.config.gone_keys import GONE, explain_gone_value
from vbot_train.config.keys import list_keys, list_subkeys
from vbot_train.config.option_files import GLOBAL_GROUPS, HEADER
from vbot_train.config.schema import Config

MISSING = "???"  # OmegaConf's mark
MISSING_HINTS = {"training.env_steps": "; an option of env sets it, for training=standard"}
# Pydantic's errors about keys. They come first, in this order: a misspelt key explains why another is missing.
KEY_ERRORS = ("extra_forbidden", "model_type", "missing")


def explain_errors(error: ValidationError, model: type[BaseModel] = Config, at: str = "") -> Iterator[str]:
    """Yield one line for each error: first those about keys (unknown, missing), then those about values.

    Args:
        error: The errors.
        model: Model that was validated.
        at: Key at which the model stands; empty if it stands at the top.
    """
    errors = error.errors(include_url=False)
    rank = {kind: place for place, kind in enumerate(KEY_ERRORS)}
    for each in sorted(errors, key=lambda each: rank.get(each["type"], len(KEY_ERRORS))):
        yield _explain(each, model, at)


def _explain(error: ErrorDetails, model: type[BaseModel], at: str) -> str:
    key, value, context = (
        ".".join(filter(None, (at, *_read_location(error["loc"])))),
        error["input"],
        error.get("ctx", {}),
    )
    if value == MISSING:
        return f"{key}: is missing" + MISSING_HINTS.get(key, "")
    match error["type"]:
        case "extra_forbidden":
            return _explain_unknown(key, value) if not at else _explain_unknown_of(model, at, key, value)
        case "missing":
            return f"{key}: is missing"
        case "model_type":
            return f"{key}={value}: must have the keys {', '.join(_list_siblings(f'{key}.'))}"
        case "literal_error":
            options = re.findall(r"'([^']*)'", context["expected"])  # 'none', 'linear' or 'kl'
            return f"{key}={value}: choose one of {', '.join(options)}"
        case "union_tag_not_found":
            return f"{key}.{context['discriminator'].strip(chr(39))}: is missing"
        case "union_tag_invalid":
            options = context["expected_tags"].replace("'", "")
            return f"{key}.{context['discriminator'].strip(chr(39))}={context['tag']}: choose one of {options}"
        case "bool_type":
            return f"{key}={value}: must be true or false"
    if "key" in context:  # a model's own check names the key
        key, value = ".".join(filter(None, (key, context["key"]))), context["value"]
    if "index" in context and isinstance(value, list | tuple):
        key, value = f"{key}[{context['index']}]", value[context["index"]]
    return f"{key}: {error['msg']}" if context.get("hides_value") else f"{key}={value}: {error['msg']}"


def _read_location(location: Iterable[int | str]) -> Iterator[str]:
    """Yield the parts of a dotted key; for a group with variants, pydantic inserts the name of the chosen one."""
    key, rest = "", iter(map(str, location))
    for part in rest:
        key = f"{key}.{part}".lstrip(".")
        yield part
        if key in list_keys() and len(list_keys()[key].models) > 1:
            next(rest, None)


def _explain_unknown(key: str, value: Any) -> str:
    if key in GONE:
        return explain_gone_value(key, value)
    prefix, name = key[: key.rfind(".") + 1], key.rpartition(".")[2]
    group = key.split(".")[0]
    while isinstance(value, Mapping) and value:  # descend to the first value
        inner, value = next(iter(value.items()))
        key = f"{key}.{inner}"
    if group in GLOBAL_GROUPS and (not prefix or name in ("hydra", *list_subkeys(Config))):
        wanted = f"its file must begin with the line {HEADER}"
        return f"{key}={value}: nothing reads it there; if it comes from an option of {group}, {wanted}"
    return f"{key}={value}: no such key; {suggest_key(prefix + name)}"


def _explain_unknown_of(model: type[BaseModel], at: str, key: str, value: Any) -> str:
    """Explain an unknown key of a model that is no part of the config of a training."""
    names = list_subkeys(model)
    near = get_close_matches(key.rpartition(".")[2], names, n=1)
    hint = f"did you mean {at}.{near[0]}?" if near else f"there are {', '.join(f'{at}.{name}' for name in names)}"
    return f"{key}={value}: no such key; {hint}"


def suggest_key(key: str) -> str:
    """Suggest the most similar key at the same level, else one at another level, else list all keys of the level."""
    group, _, name = key.rpartition(".")
    prefix = f"{group}." if group in list_keys() else ""
    siblings = _list_siblings(prefix)
    if near := get_close_matches(name, siblings, n=1):
        return f"did you mean {prefix}{near[0]}?"
    elsewhere = {key.rpartition(".")[2]: key for key in list_keys()}
    near = get_close_matches(name, elsewhere, n=1, cutoff=0.8)
    if near and not prefix.startswith("reward."):  # each term has its own arguments
        return f"did you mean {elsewhere[near[0]]}?"
    return f"there are {', '.join(f'{prefix}{own}' for own in siblings)}"


def _list_siblings(prefix: str) -> list[str]:
    """Return the names directly below a group, whose key ends with a dot."""
    key = list_keys().get(prefix.rstrip("."))
    return list_subkeys(Config) if not prefix else list_subkeys(*key.models) if key else []
