"""Configurations, best first, and how they are shown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vbot_train.analysis.steps import exact_params
from vbot_train.analysis.trials import Trial
from vbot_train.result import METRICS, iqm

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
    def number(self) -> int:
        """Of its first trial, which names it."""
        return self.trials[0].number

    @property
    def params(self) -> dict[str, Any]:
        """What it sets; the training seed is a replicate, not a parameter."""
        return {key: value for key, value in self.trials[0].params.items() if key != "seed"}

    def is_at(self, point: Mapping[str, Any]) -> bool:
        """Whether it is this point; earlier versions recorded some as they were computed."""
        return self.params == exact_params(point, self.trials[0].distributions)

    @property
    def seeds(self) -> list[int]:
        """Its training seeds."""
        return [seed for trial in self.trials for seed in trial.result.seeds]


def configurations(ranked: Sequence[Trial], metric: str) -> list[Configuration]:
    """The configurations behind completed trials, best first; of equals in the order of their best trials."""
    groups: dict[frozenset[tuple[str, Any]], list[Trial]] = {}
    for trial in ranked:
        groups.setdefault(frozenset((k, v) for k, v in trial.params.items() if k != "seed"), []).append(trial)
    found = [Configuration(sorted(trials, key=lambda trial: trial.number)) for trials in groups.values()]
    sign = -1 if METRICS[metric] == "maximize" else 1
    return sorted(found, key=lambda configuration: sign * (configuration.mean(metric) or 0.0))


def config_id(number: int) -> str:
    """Name of the configuration whose first trial has that number."""
    return f"config_{number:03d}"


def shown(params: Mapping[str, Any]) -> str:
    """Parameters for people, on one line: short keys, four digits."""
    return "  ".join(f"{key.removeprefix('ppo.')}={cell(value)}" for key, value in params.items())


def cell(value: Any) -> str:
    """One value for people."""
    return "-" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
