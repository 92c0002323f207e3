"""Keys of earlier versions, and what to type instead."""

from typing import Any

GONE = {
    "pruner": "scheduler=halving, or scheduler=none",
    "search.seeds_per_trial": "search.seeds_per_configuration={}",
    "resume": """a new study= with search.enqueue='["multirun/OLD:all"]'""",
    "env.standard_env_steps": "training.env_steps={}",
}
# Keys that a run's recorded config may have, and that had no effect of their own: another key had taken their value.
WITHOUT_EFFECT = ("env.standard_env_steps",)


def explain_gone_value(key: str, value: Any) -> str:
    """Return the message for a key of an earlier version that an option file has."""
    return f"{key}={value}: there is no such key any more; it is now {GONE[key].format(value)}"


def explain_gone_key(argument: str) -> str | None:
    """Return the message for a command-line override with a key of an earlier version; None for any other key."""
    key, _, value = argument.lstrip("+~").partition("=")
    return f"{argument}: there is no such key any more; type {GONE[key].format(value)}" if key in GONE else None
