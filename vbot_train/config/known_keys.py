"""The keys that a config may have, as a tree."""

import ast
import functools
from pathlib import Path
from typing import Any

from vbot_train.config.bounds import BOUNDS, CHOICES, FLAGS, OTHERS, RANGES

REWARDS_PY = Path(__file__).parents[1] / "env" / "rewards.py"
Tree = dict[str, Any]  # subkeys of each key; empty for a leaf


@functools.cache
def list_known_keys() -> Tree:
    """Return every key that a config may have, as a tree."""
    tree: Tree = {}
    terms = [
        f"reward.{name}.{key}" for name, arguments in read_reward_kernels().items() for key in ("weight", *arguments)
    ]
    for key in (*BOUNDS, *RANGES, *CHOICES, *FLAGS, *OTHERS, *terms):
        node = tree
        for part in key.split("."):
            node = node.setdefault(part, {})
    return tree


@functools.cache
def read_reward_kernels() -> dict[str, list[str]]:
    """Return every reward term with its kernel's arguments, parsed from the source: importing it would import torch."""
    functions = [
        node for node in ast.parse(REWARDS_PY.read_text(encoding="utf-8")).body if isinstance(node, ast.FunctionDef)
    ]
    return {
        node.name: [argument.arg for argument in node.args.kwonlyargs]
        for node in functions
        if not node.name.startswith("_")
    }
