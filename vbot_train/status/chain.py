"""Text output of a chain's status."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from vbot_train.analysis.ranking import format_cell, format_interval
from vbot_train.pipeline.state import ChainState, StepState
from vbot_train.status.render import format_duration

SHOWN = ("success_rate", "stage1_points", "time_to_goal_s")  # of the best of each step
UNKNOWN = "-"
SILENT_S = 60.0  # a chain that runs writes its state every few seconds


def render_chain(state: ChainState, silent_s: float = 0.0) -> Group:
    """Render how far a chain is: its hours, its steps, the best so far, and the line that goes on with it.

    Args:
        state: The chain's state.
        silent_s: Time since it was written [s].
    """
    where = f", {state.stage}" if state.stage else ""
    trial = f", {state.trial}" if state.trial and state.stage else ""
    killed = f", silent for {format_duration(silent_s)}: killed?"
    is_silent = state.status == "running" and silent_s > SILENT_S
    head = Text(f"chain {state.name}: {state.status}{where}{trial}{killed if is_silent else ''}", style="bold")
    hours = Text(f"budget    {state.hours_used:.2f} h of {state.budget_hours:g} h used, {state.hours_left:.2f} h left")
    return Group(head, hours, build_table(state), *map(Text, describe_end(state)))


def build_table(state: ChainState) -> Table:
    """Build the table of the steps."""
    table = Table("step", "", "hours", "trials", *SHOWN, "its best", box=SIMPLE_HEAD, pad_edge=False)
    for step in state.steps:
        given = "" if step.budget_hours is None else f" of {step.budget_hours:.2f}"
        trials = UNKNOWN if step.total is None else f"{step.ended} of {step.total}"
        hours = f"{step.hours:.2f}{given}" if step.status != "waiting" else UNKNOWN
        table.add_row(step.name, step.note or step.status, hours, trials, *format_best(step), describe_trust(step.best))
    return table


def format_best(step: StepState) -> list[str]:
    """Return the table cells of a step's best configuration."""
    best = step.best or {}
    return [format_estimate(best.get(metric)) for metric in SHOWN]


def describe_trust(best: Mapping[str, Any] | None) -> str:
    """Describe on what the values of a best configuration rest."""
    if not best or "how" not in best:
        return UNKNOWN
    return f"{best['how']} on {best['seeds']} seed{'s' if best['seeds'] > 1 else ''}"


def format_estimate(found: Mapping[str, Any] | None) -> str:
    """Format a value with its 95 % interval."""
    return f"{format_cell(found['iqm'])}{format_interval(found['ci_95'])}" if found else UNKNOWN


def describe_end(state: ChainState) -> Iterator[str]:
    """Yield lines about the best so far and what to type."""
    if state.best is not None:
        best = state.best
        values = ", ".join(f"{metric} {format_estimate(best[metric])}" for metric in SHOWN if metric in best)
        yield f"best      {best['stage']}, trial {best['trial']}, {describe_trust(best)}: {values}"
    yield f"to go on  {state.command}"
