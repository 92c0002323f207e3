"""What ``throughput.py`` prints."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table


def own_table(own: Mapping[str, Any]) -> Table:
    """Figures of this project, one column per number of robots."""
    columns = {n: dict(rows_of(figures)) for n, figures in own.items()}
    table = Table("env steps/s", *(f"{n} robots" for n in columns))
    for name in next(iter(columns.values())):
        table.add_row(name, *(column[name] for column in columns.values()))
    return table


def rows_of(figures: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Names and values of one column."""
    physics, learner, training = (figures[part] for part in ("physics", "learner", "training"))
    environment, parts, whole = figures["environment"], training["parts_us"], training["total_us"]
    unstable = environment["unstable_robots"] + training["unstable_robots"]
    chunk = max(physics, key=lambda name: physics[name])
    return [
        ("bare physics", f"{physics[chunk]:,.0f} (chunks of {chunk})"),
        *((f"bare learner, {precision}", f"{rate:,.0f}") for precision, rate in learner.items()),
        ("both, one after the other", f"{figures['ceiling']['combined']:,.0f}"),
        ("environment alone", f"{environment['env_steps_per_s']:,.0f}"),
        ("its task logic, of its physics", f"{figures['task_logic_of_physics']:.1%}"),
        ("training", f"{training['env_steps_per_s']:,.0f}"),
        ("training, of both ceilings", f"{figures['of_ceiling']:.1%}"),
        *((f"  {part}", f"{us:.2f} us, {us / whole:.1%}") for part, us in parts.items()),
        ("  the loop itself", f"{whole - sum(parts.values()):.2f} us"),
        ("  all of an env step", f"{whole:.2f} us"),
        ("logging, of training", f"{training['logging_share']:.2%}"),
        ("evaluation while training, of it", f"{training['selection_share']:.1%}"),
        ("evaluation at the end, of it", f"{training['held_out_share']:.1%}"),
        ("unstable robots", f"{unstable:g}"),
    ]


def peers_table(figures: Mapping[str, Any]) -> Table:
    """The peers, and how many times faster training is here."""
    ratios = figures["ratios"]
    table = Table("peer", "as", "env steps/s", *(f"ours with {n} robots" for n in ratios))
    for name, peer in figures["peers"].items():
        way = "vector environment of this project"
        if "vector" in peer:
            way = f"{peer['vector']}, {peer['num_envs']} robots, torch threads: {peer['torch_threads']}"
        faster = (f"{ratio[name]:.1f} x" for ratio in ratios.values())
        table.add_row(name.replace("_", " "), way, f"{peer['env_steps_per_s']:,.0f}", *faster)
    return table
