"""The page of a chain: one self-contained file that needs only a browser and no network."""

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from plotly import graph_objects as go
from plotly.offline import get_plotlyjs

from vbot_train.analysis.ranking import format_interval
from vbot_train.analysis.report import render_figure
from vbot_train.analysis.verdict import Verdict
from vbot_train.config.composition import load_recorded_config
from vbot_train.pipeline.chain import Chain
from vbot_train.pipeline.outcome import DECISIVE, SEEN, Outcome, describe_values
from vbot_train.pipeline.schema import Train
from vbot_train.pipeline.state import ChainState, StepState
from vbot_train.pipeline.steps import Step
from vbot_train.status.chain import SHOWN, describe_trust, format_estimate
from vbot_train.study.loading import load_study
from vbot_train.training.comparable import list_changes, result_settings
from vbot_train.training.files import write_atomically
from vbot_train.training.result import FILE_NAME, TrialResult
from vbot_train.training.seed_statistics import name_mean

TEMPLATE = "chain.html.jinja"
REPORT, OUTCOMES, VIDEO = "report.html", "outcomes.json", "policy.mp4"
NOT_CHANGED = ("training.", "search.", "evaluation.")  # set by the steps' lines, not found


def write_chain_report(chain: Chain, state: ChainState, outcome: Outcome | None, notes: Sequence[str]) -> Path:
    """Write the page of a chain.

    Args:
        chain: The chain.
        state: How far it is.
        outcome: The test of its winner; None without a comparison.
        notes: Lines about what is missing, and why.

    Returns:
        Path of the page.
    """
    pages = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined)
    page = pages.get_template(TEMPLATE).render(
        name=state.name,
        answer="A chain of trainings." if outcome is None else outcome.sentence,
        sentences=[f"{state.hours_used:.2f} h of {state.budget_hours:g} h were used.", *notes],
        mean="" if outcome is None else name_mean(outcome.seeds),
        seeds=0 if outcome is None else outcome.seeds,
        cautions=[] if outcome is None else outcome.cautions,
        differences=[] if outcome is None else list(list_difference_rows(outcome)),
        metrics=SHOWN,
        steps=list(list_step_rows(chain, state)),
        figures=[(title, render_figure(figure, place)) for place, (title, figure) in enumerate(build_figures(state))],
        outcomes=read_outcomes(chain.directory / OUTCOMES),
        video=embed_video(chain.directory / VIDEO),
        command=state.command,
        plotly=Markup(get_plotlyjs()),
    )
    write_atomically(chain.directory / REPORT, page)
    return chain.directory / REPORT


def list_difference_rows(outcome: Outcome) -> Iterator[dict[str, str]]:
    """Yield a table row for each metric of the test."""
    for each in outcome.differences:
        value = "-" if each.value is None else f"{each.value:+.4g}{format_interval(each.interval_95)}"
        mark = ", better" if each.is_better and each.metric in DECISIVE else ""
        cells = {"ours": format_estimate(each.ours), "default": format_estimate(each.default)}
        yield {"metric": each.metric, **cells, "difference": value + mark}


def list_step_rows(chain: Chain, state: ChainState) -> Iterator[dict[str, Any]]:
    """Yield a table row for each step."""
    before: Mapping[str, Any] = chain.config.model_dump(mode="json", by_alias=True)
    for step in chain.steps:
        found = state.find(step.name)
        now = read_best_config(chain, step)
        best = found.best or read_training(chain, step)
        yield {
            "name": step.name,
            "hours": f"{found.hours:.2f}",
            "trials": found.note or ("-" if found.total is None else f"{found.ended} of {found.total}"),
            "best": [format_estimate(best.get(metric)) for metric in SHOWN],
            "trust": describe_trust(best),
            "changes": [] if now is None else describe_changes(before, now),
            "command": found.command,
        }
        before = before if now is None else now


def describe_changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Describe what a step's best configuration changes, a line per key."""
    changes = list_changes(result_settings(before), result_settings(now))
    return [line for key, line in changes if not key.startswith(NOT_CHANGED)] or ["nothing"]


def read_best_config(chain: Chain, step: Step) -> dict[str, Any] | None:
    """Return the config of a search's best configuration; None where there is none."""
    if isinstance(step.stage, Train) or not (chain.locate(step) / "study.yaml").exists():
        return None
    study = load_study(chain.locate(step), chain.config.storage)
    winner = Verdict(study, study.record.metric).winner
    return None if winner is None else load_recorded_config(winner.trials[0].directory)


def read_training(chain: Chain, step: Step) -> dict[str, Any]:
    """Return the values of a single training; empty before it has ended."""
    if step.is_search or not (chain.locate(step) / FILE_NAME).exists():
        return {}
    return describe_values([TrialResult.load(chain.locate(step))])


def build_figures(state: ChainState) -> Iterator[tuple[str, go.Figure]]:
    """Yield the figures of a chain with their titles."""
    names = [step.name for step in state.steps]
    hours = go.Figure(go.Bar(x=names, y=[step.hours for step in state.steps], marker_color="#4477aa"))
    yield "Hours", style(hours, "hours")
    measured = [step for step in state.steps if step.best and "success_rate" in step.best]
    if measured:
        yield (
            "Success of each step's best configuration (hollow: seen by the search, not confirmed)",
            style(draw_success(measured), "success rate"),
        )


def draw_success(steps: Sequence[StepState]) -> go.Figure:
    """Draw the success rate of each step's best configuration with its interval."""
    found = [(step.best or {})["success_rate"] for step in steps]
    values, ends = [each["iqm"] for each in found], [each["ci_95"] or [each["iqm"]] * 2 for each in found]
    up = [high - value for value, (_, high) in zip(values, ends, strict=True)]
    down = [value - low for value, (low, _) in zip(values, ends, strict=True)]
    bars = {"type": "data", "array": up, "arrayminus": down}
    seen = [(step.best or {}).get("how") == SEEN for step in steps]
    marks = {"size": 9, "symbol": ["circle-open" if each else "circle" for each in seen]}
    return go.Figure(go.Scatter(x=[step.name for step in steps], y=values, error_y=bars, mode="markers", marker=marks))


def style(figure: go.Figure, title: str) -> go.Figure:
    """Give a figure the look of the other pages."""
    return figure.update_layout(template="simple_white", height=320, yaxis_title=title, margin={"t": 20, "b": 40})


def read_outcomes(path: Path) -> dict[str, Any] | None:
    """Return the table of the final policy's outcomes by start; None without one."""
    if not path.exists():
        return None
    found = json.loads(path.read_text(encoding="utf-8"))
    cells = [cell for cell in found["histogram"] if cell["episodes"]]
    rows = [
        [
            format_range(cell["distance_m"]),
            format_range(cell["bearing_deg"]),
            cell["episodes"],
            *cell["counts"].values(),
        ]
        for cell in cells
    ]
    caption = f"{found['episodes']} episodes of the final policy; success {found['metrics']['success_rate']:.2%}"
    return {"caption": caption, "names": list(cells[0]["counts"]), "rows": rows}


def format_range(ends: Sequence[float] | None) -> str:
    """Format a range of distances or bearings; None is all of them."""
    return "all" if ends is None else "{:g}-{:g}".format(*ends)


def embed_video(path: Path) -> str | None:
    """Return a video as a data URL; None without one."""
    if not path.exists():
        return None
    return "data:video/mp4;base64," + base64.b64encode(path.read_bytes()).decode()
