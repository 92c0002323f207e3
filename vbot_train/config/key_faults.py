"""Unknown, missing and misplaced config keys, found before anything trains."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from vbot_train.config.known_keys import Tree, list_known_keys

FREE = ("search.constraints", "pruner")  # keys not checked here: constraint names, pruner arguments
MAY_BE_OFF = ("search.confirm", "search.test")  # then the value is not a mapping
NOT_IN_EVERY_OPTION = ("simulation.device", "simulation.nconmax", "simulation.njmax")
# Config groups whose options set keys of other groups. Without HEADER, Hydra puts these keys below the group's name.
GLOBAL_GROUPS = ("experiment", "method", "search")
HEADER = "# @package _global_"
GONE = {  # keys of earlier versions, with their replacements
    "search.seeds_per_trial": "search.seeds_per_configuration={}",
    "resume": """a new study= with search.enqueue='["multirun/OLD:all"]'""",
}


def find_key_faults(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield one line for each key that is unknown, missing, or has a plain value instead of subkeys.

    Args:
        config: A config composed by this version, in plain containers. Recorded configs may have other keys.
    """
    yield from _faults("", config, list_known_keys())


def _faults(prefix: str, node: Mapping[str, Any], known: Tree) -> Iterator[str]:
    for name, value in node.items():
        key = f"{prefix}{name}"
        if name not in known:
            if prefix.rstrip(".") not in FREE:
                yield _unknown(prefix, name, value, known)
        elif known[name] and isinstance(value, Mapping):
            yield from _faults(f"{key}.", value, known[name])
        elif known[name] and key not in MAY_BE_OFF:
            yield f"{key}={value}: must have the keys {', '.join(known[name])}"
    for name in known:
        if name not in node and f"{prefix}{name}" not in NOT_IN_EVERY_OPTION and prefix != "reward.":
            yield f"{prefix}{name}: is missing"  # except reward terms: a term that is not listed is not used


def explain_gone_key(argument: str) -> str | None:
    """Return the message for a command-line override with a key of an earlier version; None for any other key."""
    key, _, value = argument.lstrip("+~").partition("=")
    return f"{argument}: there is no such key any more; type {GONE[key].format(value)}" if key in GONE else None


def _unknown(prefix: str, name: Any, value: Any, known: Tree) -> str:
    key = f"{prefix}{name}"
    if key in GONE:
        return str(explain_gone_key(f"{key}={value}"))
    group = key.split(".")[0]
    while isinstance(value, Mapping) and value:  # descend to the first value
        inner, value = next(iter(value.items()))
        key = f"{key}.{inner}"
    if group in GLOBAL_GROUPS and (not prefix or name in ("hydra", *list_known_keys())):
        wanted = f"its file must begin with the line {HEADER}, no byte order mark before it"
        return f"{key}={value}: nothing reads it there; if it comes from an option of {group}, {wanted}"
    return f"{key}={value}: no such key; {_hint(prefix, str(name), known)}"


def _hint(prefix: str, name: str, known: Tree) -> str:
    """Suggest the most similar key at the same level, else one at another level, else list all keys of the level."""
    if near := get_close_matches(name, known, n=1):
        return f"did you mean {prefix}{near[0]}?"
    elsewhere = {key.rpartition(".")[2]: key for key in _dotted("", list_known_keys())}
    near = get_close_matches(name, elsewhere, n=1, cutoff=0.8)
    if near and not prefix.startswith("reward."):  # each term has its own arguments
        return f"did you mean {elsewhere[near[0]]}?"
    return f"there are {', '.join(f'{prefix}{own}' for own in known)}"


def _dotted(prefix: str, tree: Tree) -> Iterator[str]:
    for name, inner in tree.items():
        yield f"{prefix}{name}"
        yield from _dotted(f"{prefix}{name}.", inner)
