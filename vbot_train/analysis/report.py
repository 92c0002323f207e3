"""The report: one HTML page that needs nothing but a browser, and asks nothing of any network."""

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from plotly.io import to_html
from plotly.offline import get_plotlyjs

from vbot_train.analysis.advice import Advice
from vbot_train.analysis.headline import headline, spread
from vbot_train.analysis.importance import ImportanceReport
from vbot_train.analysis.ranking import TOP, cell, config_id, shown
from vbot_train.analysis.report_figures import Figure, figures
from vbot_train.analysis.stages import Verdict
from vbot_train.result import write_atomically

TEMPLATE = "report.html.jinja"
PLOTLY = {"displaylogo": False, "responsive": True}


def write_report(verdict: Verdict, importance: ImportanceReport, advice: Sequence[Advice], path: Path) -> None:
    """Write the report.

    Args:
        verdict: On the study.
        importance: What its trials say about the parameters.
        advice: What to do next.
        path: The HTML file.

    Raises:
        OSError: It cannot be written.
    """
    pages = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined)
    first, *others = headline(verdict)
    page = pages.get_template(TEMPLATE).render(
        study=verdict.study.record["study"],
        metric=verdict.metric,
        answer=first,
        sentences=others,
        advice=advice,
        importance=importance,
        table=list(table(verdict)),
        figures=[
            (found.title, found.caption, div(found, place)) for place, found in enumerate(figures(verdict, importance))
        ],
        lines=list(lines(verdict)),
        plotly=Markup(get_plotlyjs()),
    )
    write_atomically(path, page)


def div(found: Figure, place: int) -> Markup:
    """A figure as HTML; what it holds of ours is JSON in which plotly escapes every bracket."""
    html = to_html(found.figure, config=PLOTLY, include_plotlyjs=False, full_html=False, div_id=f"figure-{place}")
    return Markup(html)


def table(verdict: Verdict) -> Iterator[dict[str, str]]:
    """The best configurations, a row each."""
    for found in verdict.best_first[:TOP]:
        confirmed, tested = verdict.confirmed.get(found.number), verdict.tested.get(found.number)
        yield {
            "configuration": config_id(found.number),
            "search": cell(found.mean(verdict.metric)),
            "confirmed": "-" if confirmed is None else spread(confirmed.describe(verdict.metric).get(verdict.metric)),
            "tested": "-" if tested is None else spread(tested.describe(verdict.metric).get(verdict.metric)),
            "success": cell(found.mean("success_rate")),
            "settings": shown(found.params),
        }


def lines(verdict: Verdict) -> Iterator[tuple[str, str]]:
    """What to type next, and what for."""
    if verdict.winner is None:
        return
    directory, analysis = str(verdict.study.directory), str(verdict.study.directory / "analysis")
    again = ["--config-dir", analysis, "experiment=best"]
    trial = str(verdict.winner.trials[0].directory)
    other = "success_rate" if verdict.metric != "success_rate" else "episode_reward_mean"
    for purpose, module, arguments in (
        ("the winner again, to the digit (same machine, same number of threads)", "vbot_train", again),
        ("the winner on seeds of your own", "vbot_train", ["-m", *again, "seed=11,12,13", "search.confirm=none"]),
        ("search closely around the best", "vbot_train", ["-m", "search=fine_tune", f"search.around={directory}"]),
        ("look at the winner walk", "vbot_train.evaluate", [trial, "--video", "winner.mp4"]),
        ("the analysis by another metric", "vbot_train.analyze", [directory, "--metric", other]),
    ):
        yield purpose, shlex.join(["python", "-m", module, *arguments])
