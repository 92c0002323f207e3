"""HTML report: one self-contained page that needs only a browser and no network."""

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from plotly.io import to_html
from plotly.offline import get_plotlyjs

from vbot_train.analysis.advice import Advice
from vbot_train.analysis.headline import spread, write_headline
from vbot_train.analysis.importance import ImportanceReport
from vbot_train.analysis.ranking import TOP, describe_seeds, format_cell, format_params, name_configuration
from vbot_train.analysis.report_figures import Figure, build_figures
from vbot_train.analysis.stages import Retrained, Verdict
from vbot_train.study.record import StudyRecord
from vbot_train.study.trials import tell_left_out
from vbot_train.training.files import write_atomically

TEMPLATE = "report.html.jinja"
OWN_GROUPS = ("env", "reward", "training", "simulation", "ppo", "network", "evaluation")
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
        sentences=[*others, *tell_left_out(verdict.study)],
        advice=advice,
        importance=importance,
        table=list(table(verdict)),
        figures=[
            (found.title, found.caption, div(found, place))
            for place, found in enumerate(build_figures(verdict, importance))
        ],
        lines=list(lines(verdict, path.parent)),
        plotly=Markup(get_plotlyjs()),
    )
    write_atomically(path, page)


def div(found: Figure, place: int) -> Markup:
    """Convert a figure to HTML; safe as Markup because plotly escapes all brackets in the figure's JSON."""
    html = to_html(found.figure, config=PLOTLY, include_plotlyjs=False, full_html=False, div_id=f"figure-{place}")
    return Markup(html)


def table(verdict: Verdict) -> Iterator[dict[str, str]]:
    """Yield one table row for each of the best configurations."""
    for found in verdict.best_first[:TOP]:
        success = found.mean("success_rate")
        yield {
            "configuration": name_configuration(found.number),
            "search": format_cell(found.mean(verdict.metric)),
            "search_success": "" if success is None else f"success {success:.1%}",
            "search_seeds": describe_seeds(found.runs, verdict.metric),
            **stage_cells("confirmed", verdict.confirmed.get(found.number), verdict.metric),
            **stage_cells("tested", verdict.tested.get(found.number), verdict.metric),
            "settings": format_params(found.params),
        }


def stage_cells(name: str, found: Retrained | None, metric: str) -> dict[str, str]:
    """Return the table cells of a configuration in a later stage."""
    content = {} if found is None else found.describe(metric)
    success = f"success {content['success_rate']['iqm']:.1%}" if "success_rate" in content else ""
    seeds = "" if found is None else describe_seeds(found.runs.values(), metric)
    return {name: spread(content.get(metric)), f"{name}_success": success, f"{name}_seeds": seeds}


def lines(verdict: Verdict, analysis: Path) -> Iterator[tuple[str, str]]:
    """Yield pairs of purpose and command for the next steps; the winner is that of this analysis folder."""
    if verdict.winner is None:
        return
    directory = verdict.study.directory.as_posix()  # forward slashes need no quoting
    again = ["--config-dir", analysis.as_posix(), "experiment=best"]
    trial = verdict.winner.trials[0].directory.as_posix()
    other = "success_rate" if verdict.metric != "success_rate" else "episode_reward_mean"
    around = ["-m", "search=fine_tune", f"search.around={directory}", *own_settings(verdict.study.record)]
    for purpose, module, arguments in (
        ("the winner again, to the digit (same machine, same number of threads)", "vbot_train", again),
        ("the winner on seeds of your own", "vbot_train", ["-m", *again, "seed=11,12,13", "search.confirm=none"]),
        ("search closely around the best", "vbot_train", around),
        ("look at the winner walk", "vbot_train.evaluate", [trial, "--video", "winner.mp4"]),
        ("the analysis by another metric", "vbot_train.analyze", [directory, "--metric", other]),
    ):
        yield purpose, shlex.join(["python", "-m", module, *arguments])


def own_settings(record: StudyRecord) -> list[str]:
    """Return the study's overrides of task and training outside of its search space, to keep in another search."""
    given = [str(argument) for argument in record.command[1:]]
    keys = {argument: argument.partition("=")[0].lstrip("+") for argument in given}
    own = [argument for argument, key in keys.items() if key.split(".")[0] in OWN_GROUPS]
    return [argument for argument in own if keys[argument] not in record.space]
