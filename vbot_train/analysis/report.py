"""HTML report: one self-contained page that needs only a browser and no network."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from plotly.graph_objects import Figure
from plotly.io import to_html
from plotly.offline import get_plotlyjs

from vbot_train.analysis.advice import Advice
from vbot_train.analysis.headline import format_spread, write_cheapest, write_headline
from vbot_train.analysis.importance import ImportanceReport
from vbot_train.analysis.next_commands import list_next_commands
from vbot_train.analysis.ranking import TOP, describe_seeds, format_cell, format_params, name_configuration
from vbot_train.analysis.report_figures import build_figures
from vbot_train.analysis.verdict import Retrained, Verdict
from vbot_train.study.trials import tell_left_out
from vbot_train.training.files import write_atomically

TEMPLATE = "report.html.jinja"
PLOTLY = {"displaylogo": False, "responsive": True}


def write_report(verdict: Verdict, importance: ImportanceReport, advice: Sequence[Advice], path: Path) -> None:
    """Write the report.

    Args:
        verdict: Verdict on the study.
        importance: Importances of the parameters.
        advice: Recommended next steps.
        path: Path of the HTML file.

    Raises:
        OSError: The file cannot be written.
    """
    pages = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined)
    first, *others = write_headline(verdict)
    page = pages.get_template(TEMPLATE).render(
        study=verdict.study.record.study,
        metric=verdict.metric,
        answer=first,
        sentences=[*others, *write_cheapest(verdict), *tell_left_out(verdict.study)],
        advice=advice,
        importance=importance,
        table=list(list_table_rows(verdict)),
        figures=[
            (title, caption, render_figure(figure, place))
            for place, (title, caption, figure) in enumerate(build_figures(verdict, importance))
        ],
        lines=list(list_next_commands(verdict, path.parent)),
        plotly=Markup(get_plotlyjs()),
    )
    write_atomically(path, page)


def render_figure(figure: Figure, place: int) -> Markup:
    """Convert a figure to HTML; safe as Markup because plotly escapes all brackets in the figure's JSON."""
    html = to_html(figure, config=PLOTLY, include_plotlyjs=False, full_html=False, div_id=f"figure-{place}")
    return Markup(html)


def list_table_rows(verdict: Verdict) -> Iterator[dict[str, str]]:
    """Yield one table row for each of the best configurations."""
    for found in verdict.best_first[:TOP]:
        success = found.mean("success_rate")
        yield {
            "configuration": name_configuration(found.number),
            "search": format_cell(found.mean(verdict.metric)),
            "search_success": "" if success is None else f"success {success:.1%}",
            "search_seeds": describe_seeds(found.runs, verdict.metric),
            **format_stage_cells("confirmed", verdict.confirmed.get(found.number), verdict.metric),
            **format_stage_cells("tested", verdict.tested.get(found.number), verdict.metric),
            "settings": format_params(found.params),
        }


def format_stage_cells(name: str, found: Retrained | None, metric: str) -> dict[str, str]:
    """Return the table cells of a configuration in a later stage."""
    content = {} if found is None else found.describe(metric)
    success = f"success {content['success_rate']['iqm']:.1%}" if "success_rate" in content else ""
    seeds = "" if found is None else describe_seeds(found.runs.values(), metric)
    return {name: format_spread(content.get(metric)), f"{name}_success": success, f"{name}_seeds": seeds}
