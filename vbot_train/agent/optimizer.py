"""Torch's optimizer without torch's compiler, which training does not use."""

import inspect
from functools import cache

import torch
from torch.optim import Adam

# Torch hides these methods from its compiler, by wrappers whose first call imports it.
HIDDEN = ("add_param_group", "load_state_dict", "state_dict", "zero_grad")


@cache
def leave_out_compiler() -> None:
    """Keep ``Adam`` from importing torch's compiler: 800 modules, about a second in every process.

    The wrapped methods take the place of their wrappers, for the whole process. The wrapper of ``step`` also switches
    gradients off, so it gets another one. Results are the same, to the last digit (LOG.md, 2026-11-27).
    """
    for name in HIDDEN:
        setattr(Adam, name, inspect.unwrap(getattr(Adam, name)))
    setattr(Adam, "step", torch.no_grad()(inspect.unwrap(Adam.step)))  # noqa: B010  # mypy takes no assignment here
