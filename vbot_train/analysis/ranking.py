"""The analysis file: what a study found, in one YAML."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vbot_train.analysis.importance import ENOUGH_TRIALS, Importance
from vbot_train.analysis.trials import Study, Trial
from vbot_train.result import METRICS, iqm

SEARCH_SPACE_ID = "ppo_navigation_v1"
TOP = 5


@dataclass(frozen=True, slots=True)
class Configuration:
    """One configuration and all the completed trials that trained it, each on seeds of its own."""

    trials: list[Trial]  # by number; the first one names it

    def mean(self, metric: str) -> float | None:
        """Interquartile mean over its trials; None where one of them has no value."""
        values = [trial.result.metrics.get(metric) for trial in self.trials]
        present = [value for value in values if value is not None]
        return None if len(present) < len(values) else present[0] if len(present) == 1 else iqm(present)

    @property
    def seeds(self) -> list[int]:
        """Its training seeds."""
        return [seed for trial in self.trials for seed in trial.result.seeds]


def configurations(ranked: Sequence[Trial], metric: str) -> list[Configuration]:
    """The configurations behind completed trials, best first; of equals in the order of their best trials."""
    groups: dict[frozenset[tuple[str, Any]], list[Trial]] = {}
    for trial in ranked:
        groups.setdefault(frozenset(trial.params.items()), []).append(trial)
    found = [Configuration(sorted(trials, key=lambda trial: trial.number)) for trials in groups.values()]
    sign = -1 if METRICS[metric] == "maximize" else 1
    return sorted(found, key=lambda configuration: sign * (configuration.mean(metric) or 0.0))


def summarize(study: Study, metric: str, ranked: Sequence[Trial], importance: Sequence[Importance]) -> dict[str, Any]:
    """The content of ``hyperparameter_importance.yaml``.

    Args:
        study: The study.
        metric: What the trials are ranked by.
        ranked: The completed trials, best first.
        importance: The parameters, most important first.
    """
    found = configurations(ranked, metric)
    best = found[0].trials[0] if found else None
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
        "top_5_configs": [describe(configuration, metric) for configuration in found[:TOP]],
        "best": None if best is None else {"config_id": config_id(best), "tested": None, "default_tested": None},
    }
    if replicated := replicates(ranked, metric):
        content["replicates"] = replicated
    if study.pruned:
        content["pruned"] = [describe_pruned(trial) for trial in study.pruned]
    return content


def reliability(trials: int) -> str:
    """Whether an importance ranking over so many trials says anything."""
    return "sufficient" if trials >= ENOUGH_TRIALS else f"insufficient: {trials} of {ENOUGH_TRIALS} completed trials"


def config_id(trial: Trial) -> str:
    """Name of a trial's configuration."""
    return f"config_{trial.number:03d}"


def describe(configuration: Configuration, metric: str) -> dict[str, Any]:
    """One configuration and what the search saw of it; the seeds where there were several."""
    first = configuration.trials[0]
    metrics = {name: configuration.mean(name) for name in (metric, "success_rate", "fall_rate")}
    seeds = {"seeds": configuration.seeds} if len(configuration.seeds) > 1 else {}
    return {"config_id": config_id(first), **first.params, **metrics, **seeds, "confirmed": None}


def describe_pruned(trial: Trial) -> dict[str, Any]:
    """A trial that the pruner ended: how far it came. Its last value is of fewer episodes, and is not ranked."""
    last = trial.intermediate[max(trial.intermediate)] if trial.intermediate else None
    return {"config_id": config_id(trial), **trial.params, "env_steps": trial.result.env_steps, "last_value": last}


def replicates(ranked: Sequence[Trial], metric: str) -> list[dict[str, Any]]:
    """Configurations that were trained on several seeds: interquartile mean and range over seeds, best first."""
    groups: dict[frozenset[tuple[str, Any]], list[Trial]] = {}
    for trial in sorted(ranked, key=lambda trial: trial.number):
        groups.setdefault(frozenset((k, v) for k, v in trial.params.items() if k != "seed"), []).append(trial)
    rows = []
    for trials in groups.values():
        found = {
            run.seed: value for trial in trials for run in trial.runs if (value := run.objective(metric)) is not None
        }
        if len(found) > 1:
            others = {key: value for key, value in trials[0].params.items() if key != "seed"}
            values = [found[seed] for seed in sorted(found)]
            spread = {"iqm": iqm(values), "range": [min(values), max(values)]}
            rows.append({**others, "seeds": sorted(found), metric: spread})
    sign = -1 if METRICS[metric] == "maximize" else 1
    return sorted(rows, key=lambda row: sign * row[metric]["iqm"])


def shown(params: Mapping[str, Any]) -> str:
    """Parameters for people, on one line: short keys, four digits."""
    return "  ".join(f"{key.removeprefix('ppo.')}={cell(value)}" for key, value in params.items())


def cell(value: Any) -> str:
    """One value for people."""
    return "-" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
