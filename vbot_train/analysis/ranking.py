"""The analysis file: what a study found, in one YAML."""

from collections.abc import Mapping, Sequence
from typing import Any

from vbot_train.analysis.importance import ENOUGH_TRIALS, Importance
from vbot_train.analysis.trials import Study, Trial
from vbot_train.result import METRICS, iqm

SEARCH_SPACE_ID = "ppo_navigation_v1"
TOP = 5


def summarize(study: Study, metric: str, ranked: Sequence[Trial], importance: Sequence[Importance]) -> dict[str, Any]:
    """The content of ``hyperparameter_importance.yaml``.

    Args:
        study: The study.
        metric: What the trials are ranked by.
        ranked: The completed trials, best first.
        importance: The parameters, most important first.
    """
    best = ranked[0] if ranked else None
    content: dict[str, Any] = {
        "search_space_id": SEARCH_SPACE_ID,
        "study": study.record["study"],
        "metric": metric,
        "trials": study.counts,
        "infeasible": study.infeasible,
        "importance": {"estimator": "ped_anova", "reliability": reliability(len(ranked)), "trials": len(ranked)},
        "importance_ranking": [
            {
                "parameter": row.parameter,
                "importance": row.importance,
                "interval_90": None if row.interval_90 is None else list(row.interval_90),
                "best_value": None if best is None else best.params[row.parameter],
            }
            for row in importance
        ],
        "top_5_configs": [describe(trial, metric) for trial in ranked[:TOP]],
        "best": None if best is None else {"config_id": config_id(best), "tested": None, "default_tested": None},
    }
    if replicated := replicates(ranked, metric):
        content["replicates"] = replicated
    return content


def reliability(trials: int) -> str:
    """Whether an importance ranking over so many trials says anything."""
    return "sufficient" if trials >= ENOUGH_TRIALS else f"insufficient: {trials} of {ENOUGH_TRIALS} completed trials"


def config_id(trial: Trial) -> str:
    """Name of a trial's configuration."""
    return f"config_{trial.number:03d}"


def describe(trial: Trial, metric: str) -> dict[str, Any]:
    """One configuration and what the search saw of it."""
    metrics = trial.result.metrics
    shown = {name: metrics[name] for name in (metric, "success_rate", "fall_rate")}
    return {"config_id": config_id(trial), **trial.params, **shown, "confirmed": None}


def replicates(ranked: Sequence[Trial], metric: str) -> list[dict[str, Any]]:
    """Configurations that were trained on several seeds: interquartile mean and range, best first."""
    groups: dict[tuple[Any, ...], list[Trial]] = {}
    for trial in ranked:
        if "seed" in trial.params:
            groups.setdefault(tuple(value for key, value in trial.params.items() if key != "seed"), []).append(trial)
    rows = []
    for trials in groups.values():
        values = [value for trial in trials if (value := trial.result.objective(metric)) is not None]
        if len(values) > 1:
            others = {key: value for key, value in trials[0].params.items() if key != "seed"}
            seeds = sorted(trial.params["seed"] for trial in trials)
            rows.append({**others, "seeds": seeds, metric: {"iqm": iqm(values), "range": [min(values), max(values)]}})
    sign = -1 if METRICS[metric] == "maximize" else 1
    return sorted(rows, key=lambda row: sign * row[metric]["iqm"])


def shown(params: Mapping[str, Any]) -> str:
    """Parameters for people, on one line: short keys, four digits."""
    return "  ".join(f"{key.removeprefix('ppo.')}={cell(value)}" for key, value in params.items())


def cell(value: Any) -> str:
    """One value for people."""
    return "-" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
