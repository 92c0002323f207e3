"""Content of the analysis file: all results of a study in one YAML."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from vbot_train.analysis.advice import Advice
from vbot_train.analysis.cost import UNKNOWN, CostPoint, compare_costs
from vbot_train.analysis.importance import ImportanceReport
from vbot_train.analysis.ranking import TOP, Configuration, describe_lost, name_configuration
from vbot_train.analysis.verdict import ALSO, DEFAULT, Verdict
from vbot_train.study.trials import Trial
from vbot_train.training.result import compute_iqm

SEARCH_SPACE_ID = "ppo_navigation_v1"


def summarize(verdict: Verdict, importance: ImportanceReport, advice: Sequence[Advice]) -> dict[str, Any]:
    """Return the content of ``hyperparameter_importance.yaml``.

    Args:
        verdict: Verdict on the study.
        importance: Importances of the parameters.
        advice: Recommended next steps.
    """
    study, metric = verdict.study, verdict.metric
    content: dict[str, Any] = {
        "search_space_id": SEARCH_SPACE_ID,
        "study": study.record.study,
        "metric": metric,
        "trials": study.counts,
        "infeasible": study.infeasible,
        "left_out": [trial.reason for trial in study.left_out],
        "importance": {
            "estimator": importance.estimator,
            "reliability": importance.reliability,
            "trials": importance.trials,
            "compared": importance.where.removeprefix(", ") or "at the end of the training",
            "left_out": importance.left_out,
        },
        "importance_ranking": rank(importance, verdict.winner),
        "top_5_configs": [describe(found, verdict) for found in verdict.best_first[:TOP]],
        "best": describe_best(verdict),
        "cheapest_within": describe_cheapest(verdict),
        "advice": [asdict(item) for item in advice],
    }
    if replicated := list_replicates(verdict.screened, metric):
        content["replicates"] = replicated
    for status, unfinished in (("paused", study.paused), ("pruned", study.pruned)):
        if unfinished:
            content[status] = [describe_unfinished(trial) for trial in unfinished]
    return content


def rank(importance: ImportanceReport, winner: Configuration | None) -> list[dict[str, Any]]:
    """Return one entry per parameter, most important first; without numbers if the data are insufficient."""
    best = {} if winner is None else winner.params
    return [asdict(row) | {"best_value": best.get(row.parameter)} for row in importance.rows]


def describe(found: Configuration, verdict: Verdict) -> dict[str, Any]:
    """Return the search and confirmed results of one configuration."""
    metrics = {name: found.mean(name) for name in dict.fromkeys((verdict.metric, *ALSO))}
    seeds = {"seeds": sorted(run.seed for run in found.runs)} if len(found.runs) > 1 else {}
    lost = describe_lost(found.runs, verdict.metric)
    confirmed = verdict.confirmed.get(found.number)
    again = None if confirmed is None else confirmed.describe(verdict.metric)
    return {
        "config_id": name_configuration(found.number),
        **found.params,
        **metrics,
        **seeds,
        **lost,
        "confirmed": again,
    }


def describe_best(verdict: Verdict) -> dict[str, Any] | None:
    """Return the winner and its status; the tested values are the unbiased ones to quote."""
    if (winner := verdict.winner) is None:
        return None
    tested, default = verdict.tested.get(winner.number), verdict.tested.get(verdict.default)
    return {
        "config_id": name_configuration(winner.number),
        "status": describe_status(verdict),
        "tested": None if tested is None else tested.describe(verdict.metric),
        "default": "default" if verdict.default == DEFAULT else name_configuration(verdict.default),
        "default_tested": None if default is None else default.describe(verdict.metric),
    }


def describe_status(verdict: Verdict) -> str:
    """Return the status of the winner: unconfirmed, confirmed or tested."""
    if verdict.unconfirmed_reason is not None:
        return f"unconfirmed: {verdict.unconfirmed_reason}"
    return "tested" if verdict.untested_reason is None else f"confirmed, not tested: {verdict.untested_reason}"


def describe_cheapest(verdict: Verdict) -> dict[str, Any] | None:
    """Return the cheapest configuration within ``search.within`` of the best; None if there is nothing to choose."""
    if (costs := compare_costs(verdict)) is None:
        return None
    if costs.tolerance is None or (cheapest := costs.cheapest) is None:
        return {"config_id": None, "reason": UNKNOWN}
    return {
        **_describe_point(cheapest),
        "within": costs.tolerance.amount,
        "within_is": costs.tolerance.origin,
        "compared_by": f"{costs.kind} {verdict.metric}",
        "compared": len(costs.points),
        "best": _describe_point(costs.best),
    }


def _describe_point(point: CostPoint) -> dict[str, Any]:
    cost = {"wall_time_s": point.wall_s, "env_steps": point.env_steps}
    return {"config_id": point.name, "value": point.value, **cost}


def describe_unfinished(trial: Trial) -> dict[str, Any]:
    """Return the progress of a paused trial; its last value is not ranked, as it is a mean over fewer episodes."""
    last = trial.intermediate[max(trial.intermediate)] if trial.intermediate else None
    return {
        "config_id": name_configuration(trial.number),
        **trial.params,
        "env_steps": trial.result.env_steps,
        "last_value": last,
    }


def list_replicates(screened: Sequence[Configuration], metric: str) -> list[dict[str, Any]]:
    """Return interquartile mean and range of configurations trained on several seeds in the search, best first."""
    rows = []
    for found in screened:
        values = [value for run in found.survivors if (value := run.get_objective(metric)) is not None]
        if len(found.runs) > 1:
            lost = describe_lost(found.runs, metric)
            spread = {"iqm": compute_iqm(values), "range": [min(values), max(values)]}
            rows.append({**found.params, "seeds": sorted(run.seed for run in found.runs), **lost, metric: spread})
    return rows
