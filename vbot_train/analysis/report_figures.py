"""Interactive figures of the report, by Optuna where suitable."""

from collections.abc import Callable, Iterator, Sequence

import optuna
import plotly.graph_objects as go
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import TrialState, create_trial
from optuna.visualization import plot_optimization_history, plot_parallel_coordinate
from plotly.subplots import make_subplots

from vbot_train.analysis.cost import KINDS, CostComparison, CostPoint, compare_costs, list_front, list_points
from vbot_train.analysis.figures import training_success
from vbot_train.analysis.importance import ImportanceReport
from vbot_train.analysis.ranking import TOP, format_cell, name_configuration
from vbot_train.analysis.verdict import DEFAULT, TRIAL, Retrained, Verdict
from vbot_train.study.trials import Trial
from vbot_train.training.metrics import METRICS
from vbot_train.training.seed_statistics import bootstrap_interval, caution_few_seeds

BLUE, ORANGE, GREEN, GREY, RED = "#3366aa", "#dd7722", "#228855", "#999999", "#bb3333"
KIND_STYLES = {"seen": (GREY, "diamond"), "confirmed": (BLUE, "square"), "tested": (GREEN, "square")}
CURVES = (BLUE, ORANGE, GREEN, "#aa4499", "#44aaaa")
COLUMNS = 3  # of the slice plot
ROW_PX, HEIGHT_PX = 260, 420


def build_figures(verdict: Verdict, importance: ImportanceReport) -> Iterator[tuple[str, str, go.Figure]]:
    """Yield title, caption and figure of all that the study has data for, the results of the stages first."""
    metric = verdict.metric
    if verdict.confirmed:
        caution = caution_few_seeds(min(len(found.runs) for found in verdict.confirmed.values()))
        caption = "What the search saw, the runs that confirmed and tested, their interquartile mean with its 95 %"
        caption += f" interval, {caution}." if caution else " interval."
        yield "From search to test", caption, plot_stages(verdict)
    if importance.is_sufficient:
        yield (
            "What mattered",
            f"Importance for {metric}{importance.where}, with 90 % intervals.",
            plot_importances(importance),
        )
    if verdict.study.rank(metric):
        study = convert_to_optuna(verdict)
        caption = "Every completed trial in the order of the search, and the best so far."
        yield "Optimization history", caption, _finish(plot_optimization_history(study, target_name=metric))
        if any(found.params for found in verdict.screened):
            caption = (
                "Every completed trial, by each parameter: a star for the default configuration, a ring for the winner."
            )
            yield "Slices", caption, plot_slices(verdict)
        if any(len(found.params) > 1 for found in verdict.screened):
            caption = "One line per completed trial; drag along an axis to select."
            parallel = plot_parallel_coordinate(study, target_name=metric)
            yield "Parallel coordinates", caption, _finish(parallel, sides=70, top=70)
        caption = "Training episodes that reach the goal without falling, of the five best and of the default."
        yield "Learning curves", caption, plot_learning_curves(verdict)
        if (costs := compare_costs(verdict)) is not None:
            yield "Score against cost", _caption_costs(costs, sorted(verdict.study.hosts)), plot_costs(verdict, costs)
        caption = "Hours since the first trial ended, pauses between resumes included."
        yield "Score against wall clock", caption, plot_wall_clock(verdict)
    yield "How trials ended", "And how many proposals each constraint kept from being trained.", counts(verdict)


def convert_to_optuna(verdict: Verdict) -> optuna.Study:
    """Convert the completed trials to an in-memory Optuna study, with the same numbers."""
    study = optuna.create_study(direction=METRICS[verdict.metric].direction)
    ranked = {trial.number: trial for trial in verdict.study.rank(verdict.metric)}
    for number in range(max(ranked) + 1):
        trial = ranked.get(number)
        if trial is None:  # placeholder, so that later trials keep their numbers
            study.add_trial(create_trial(state=TrialState.FAIL))
            continue
        value = trial.result.get_objective(verdict.metric)
        study.add_trial(create_trial(params=trial.params, distributions=trial.distributions, value=value))
    return study


def plot_stages(verdict: Verdict) -> go.Figure:
    """Plot for each retrained configuration the search value, its runs, their mean and interval."""
    shown = {
        found.number: name_configuration(found.number)
        for found in verdict.best_first
        if found.number in verdict.confirmed
    }
    shown |= {number: "default" if number == DEFAULT else name_configuration(number) for number in verdict.tested}
    figure = go.Figure()
    seen = [found for found in verdict.screened if found.number in shown]
    xs, ys = [shown[found.number] for found in seen], [found.mean(verdict.metric) for found in seen]
    marker = {"symbol": "diamond", "size": 11, "color": GREY}
    figure.add_scatter(x=xs, y=ys, mode="markers", name="search", marker=marker)
    for name, found, color in (("confirmed", verdict.confirmed, BLUE), ("tested", verdict.tested, GREEN)):
        known = {shown[number]: sample for number, sample in found.items() if number in shown}
        _add_stage(figure, name, known, verdict.metric, color)
    figure.update_layout(
        yaxis_title=verdict.metric, xaxis={"categoryorder": "array", "categoryarray": [*shown.values()]}
    )
    return _finish(figure)


def _add_stage(figure: go.Figure, name: str, found: dict[str, Retrained], metric: str, color: str) -> None:
    values = {label: retrained.values(metric) for label, retrained in found.items()}
    xs = [label for label, row in values.items() for _ in row]
    ys = [value for row in values.values() for value in row]
    marker = {"color": color, "size": 6, "opacity": 0.5}
    figure.add_scatter(x=xs, y=ys, mode="markers", name=f"{name}, single runs", marker=marker)
    means = {label: mean for label, sample in found.items() if (mean := sample.mean(metric)) is not None}
    ends = [bootstrap_interval(values[label]) or (mean, mean) for label, mean in means.items()]
    errors = _errors([*means.values()], ends)
    marker = {"color": color, "size": 11, "symbol": "square"}
    figure.add_scatter(
        x=[*means], y=[*means.values()], mode="markers", name=f"{name}, mean", marker=marker, error_y=errors
    )


def plot_importances(importance: ImportanceReport) -> go.Figure:
    """Plot the importance of each parameter with its interval, the most important on top."""
    rows = [row for row in importance.rows if row.importance is not None and row.interval_90 is not None][::-1]
    shares = [row.importance or 0.0 for row in rows]
    ends = [row.interval_90 or (0.0, 0.0) for row in rows]
    errors = _errors(shares, ends)
    names = [row.parameter for row in rows]
    figure = go.Figure(go.Bar(x=shares, y=names, orientation="h", error_x=errors, marker_color=BLUE, opacity=0.8))
    figure.update_layout(xaxis={"title": f"importance ({importance.estimator})", "range": [0, 1]})
    return _finish(figure)


def _errors(values: Sequence[float], ends: Sequence[tuple[float, float]]) -> dict[str, object]:
    """Return plotly error bars for intervals."""
    above = [high - value for (_, high), value in zip(ends, values, strict=True)]
    below = [value - low for (low, _), value in zip(ends, values, strict=True)]
    return {"type": "data", "symmetric": False, "array": above, "arrayminus": below}


def plot_slices(verdict: Verdict) -> go.Figure:
    """Plot the value against each parameter, one panel per parameter."""
    ranked = verdict.study.rank(verdict.metric)
    spaces = {name: space for trial in ranked for name, space in trial.distributions.items() if name != "seed"}
    rows = -(-len(spaces) // COLUMNS)
    figure = make_subplots(rows=rows, cols=COLUMNS, shared_yaxes=True, subplot_titles=[*spaces])
    for place, (name, space) in enumerate(spaces.items()):
        at = {"row": place // COLUMNS + 1, "col": place % COLUMNS + 1}
        trials = [trial for trial in ranked if name in trial.params]
        figure.add_trace(_points(trials, name, verdict.metric, {"color": BLUE, "size": 6, "opacity": 0.6}), **at)
        for number, marker in (
            (verdict.winner.number if verdict.winner else None, {"color": RED, "size": 13, "symbol": "circle-open"}),
            (verdict.default, {"color": ORANGE, "size": 13, "symbol": "star"}),
        ):
            chosen = [trial for trial in trials if trial.number == number]
            figure.add_trace(_points(chosen, name, verdict.metric, marker), **at)
        figure.update_xaxes(**_axis(space), **at)
    figure.update_layout(showlegend=False, height=ROW_PX * rows)
    return _finish(figure)


def _points(trials: Sequence[Trial], name: str, metric: str, marker: dict[str, object]) -> go.Scatter:
    xs = [trial.params[name] for trial in trials]
    text = [f"trial {trial.number}" for trial in trials]
    ys = [trial.result.get_objective(metric) for trial in trials]
    return go.Scatter(x=xs, y=ys, mode="markers", text=text, marker=marker)


def _axis(space: BaseDistribution) -> dict[str, object]:
    if isinstance(space, CategoricalDistribution):
        return {"type": "category", "categoryorder": "array", "categoryarray": [*space.choices]}
    return {"type": "log" if getattr(space, "log", False) else "linear"}


def plot_learning_curves(verdict: Verdict) -> go.Figure:
    """Plot the training success rate of the best ``TOP`` configurations and of the default."""
    figure = go.Figure()
    for rank, found in enumerate(verdict.best_first[:TOP]):
        _add_curves(figure, found.trials, f"{rank + 1}: {name_configuration(found.number)}", CURVES[rank], "solid")
    _add_curves(figure, list_default_trials(verdict), "default", "black", "dot")
    axis = {"title": "success rate", "range": [-0.02, 1.02]}
    figure.update_layout(xaxis_title="training env steps [million]", yaxis=axis)
    return _finish(figure)


def list_default_trials(verdict: Verdict) -> list[Trial]:
    """Return the trials of the default configuration: of the search, or of the test if the search did not try it."""
    if verdict.default == DEFAULT:
        return [trial for trial in verdict.study.test if trial.params[TRIAL] == DEFAULT]
    return [trial for found in verdict.screened if found.number == verdict.default for trial in found.trials]


def _add_curves(figure: go.Figure, trials: Sequence[Trial], name: str, color: str, dash: str) -> None:
    curves = [curve for trial in trials for curve in training_success(trial)]
    for place, (steps, success) in enumerate(curves):
        line = {"color": color, "dash": dash}
        figure.add_scatter(
            x=steps, y=success, mode="lines", name=name, line=line, legendgroup=name, showlegend=place == 0
        )


def plot_wall_clock(verdict: Verdict) -> go.Figure:
    """Plot values against the end time of their trials."""
    ranked = verdict.study.rank(verdict.metric)
    rows = [
        (trial.ended, trial.number, trial.result.get_objective(verdict.metric) or 0.0)
        for trial in ranked
        if trial.ended
    ]
    rows.sort()
    hours = [(ended - rows[0][0]).total_seconds() / 3600 for ended, *_ in rows]
    values = [value for *_, value in rows]
    text = [f"trial {number}" for _, number, _ in rows]
    figure = go.Figure()
    marker = {"color": GREY, "size": 6}
    figure.add_scatter(x=hours, y=values, mode="markers", name="trial", text=text, marker=marker)
    best = METRICS[verdict.metric].accumulate_best(values)
    figure.add_scatter(x=hours, y=best, mode="lines", name="best so far", line={"color": BLUE, "shape": "hv"})
    figure.update_layout(xaxis_title="wall clock [h]", yaxis_title=verdict.metric)
    return _finish(figure)


def plot_costs(verdict: Verdict, costs: CostComparison) -> go.Figure:
    """Plot values against the cost of a training, with the Pareto front of the configurations that are compared."""
    axes: dict[str, Callable[[CostPoint], float]] = {"wall clock of a training [s]": lambda point: point.wall_s}
    if not costs.is_equally_long:
        axes["env steps of a training"] = lambda point: point.env_steps
    figure = make_subplots(rows=1, cols=len(axes), shared_yaxes=True)
    for column, (title, get_cost) in enumerate(axes.items(), start=1):
        for trace in _build_cost_traces(verdict, costs, get_cost):
            trace.update(legendgroup=trace.name, showlegend=column == 1)
            figure.add_trace(trace, row=1, col=column)
        figure.update_xaxes(title=title, row=1, col=column)
    figure.update_yaxes(title=verdict.metric, col=1)
    return _finish(figure)


def _build_cost_traces(
    verdict: Verdict, costs: CostComparison, get_cost: Callable[[CostPoint], float]
) -> Iterator[go.Scatter]:
    """Yield the traces of one panel: all values by kind, the default, the front, the cheapest within the tolerance."""
    known = {kind: list_points(verdict, kind) for kind in reversed(KINDS)}
    default = [point for points in known.values() for point in points if point.number == verdict.default]
    marks = [(kind, points, *KIND_STYLES[kind], 8) for kind, points in known.items()]
    marks += [("default", default, ORANGE, "star-open", 16)]
    marks += [("cheapest", [costs.cheapest] if costs.cheapest else [], RED, "circle-open", 18)]
    for name, points, color, symbol, size in (mark for mark in marks if mark[1]):
        marker = {"color": color, "symbol": symbol, "size": size}
        yield _cost_trace(points, get_cost, mode="markers", name=name, marker=marker)
    front = list_front(costs.points, costs.metric, get_cost)
    line = {"color": KIND_STYLES[costs.kind][0], "dash": "dot"}
    yield _cost_trace(front, get_cost, mode="lines+text", name="Pareto front", line=line, textposition="top center")


def _cost_trace(points: Sequence[CostPoint], get_cost: Callable[[CostPoint], float], **style: object) -> go.Scatter:
    xs, ys = [get_cost(point) for point in points], [point.value for point in points]
    return go.Scatter(x=xs, y=ys, text=[point.name for point in points], cliponaxis=False, **style)


def _caption_costs(costs: CostComparison, hosts: Sequence[str]) -> str:
    caption = f"The line connects the configurations that no other beats both in cost and in its {costs.kind} value. "
    if costs.tolerance is not None:
        within = f"{format_cell(costs.tolerance.amount)} ({costs.tolerance.origin})"
        caption += f"The ring is around the cheapest within {within} of the best, the star marks the default. "
    else:
        caption += "The star marks the default. "
    caption += "Wall clock can be compared only between trainings of one machine under the same load. "
    if len(hosts) > 1:
        caption += f"These ran on {len(hosts)} hosts: {', '.join(hosts)}. "
    if costs.is_equally_long:
        caption += "All trained equally long, so env steps are not shown. "
    return caption + "Paused trials and configurations with a failed seed are left out."


def counts(verdict: Verdict) -> go.Figure:
    """Plot the numbers of trials by status and of infeasible proposals by constraint."""
    study = verdict.study
    figure = make_subplots(rows=1, cols=2, subplot_titles=["trials by status", "infeasible proposals by constraint"])
    statuses = {status: count for status, count in study.counts.items() if count}
    figure.add_trace(go.Bar(x=[*statuses], y=[*statuses.values()], marker_color=BLUE), row=1, col=1)
    rules = study.infeasible
    figure.add_trace(go.Bar(x=[*rules], y=[*rules.values()], marker_color=ORANGE), row=1, col=2)
    figure.update_layout(showlegend=False)
    return _finish(figure)


def _finish(figure: go.Figure, sides: int = 20, top: int = 40) -> go.Figure:
    margin = {"l": max(sides, 60), "r": sides, "t": top, "b": 50}  # [px]
    figure.update_layout(template="plotly_white", title=None, margin=margin)
    if figure.layout.height is None:
        figure.update_layout(height=HEIGHT_PX)
    return figure
