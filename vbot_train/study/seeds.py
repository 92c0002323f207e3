"""Merge the trials of one configuration, one per training seed."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from vbot_train.study.accounting import identify
from vbot_train.study.trials import Trial
from vbot_train.training.result import TrialResult, compute_iqm

MEANS = ("metrics", "last_metrics", "reward_terms")  # fields of a result that have a mean over seeds


def choose_attempt(attempts: Sequence[Trial], retries: int) -> Trial | None:
    """Return the attempt that counts, of all attempts at one training; None if it must be run again."""
    completed = [trial for trial in attempts if trial.result.status == "completed"]
    last = attempts[-1]
    if completed or last.is_merged:
        return completed[0] if completed else last
    if last.result.status == "failed":
        times = sum(trial.result.status == "failed" for trial in attempts)
        return last if last.killed or times > retries else None
    if last.result.status == "interrupted":  # in older studies, where one that was killed twice was given up
        return last if sum(trial.killed for trial in attempts) > 1 else None
    return last


def merge_seeds(trials: Sequence[Trial], retries: int, *, by_first: bool = False) -> list[Trial]:
    """List the trials of a search by number, with the seeds of each configuration merged into one trial.

    Configurations whose seeds have not all ended are omitted: their mean would be over the fastest seeds only.

    Args:
        trials: Trials that have ended, by number.
        retries: How often a crashed trial is retried.
        by_first: Whether the other seeds of a configuration are trained only if its first one is completed.
    """
    found = [trial for trial in trials if not trial.seeds]
    groups: dict[Any, dict[int, list[Trial]]] = {}
    for trial in (trial for trial in trials if trial.seeds):
        by_seed = groups.setdefault((identify(trial.params), trial.seeds), {seed: [] for seed in trial.seeds})
        by_seed.setdefault(trial.result.seed, []).append(trial)
    if by_first:
        groups = {key: _drop_untrained(by_seed, retries) for key, by_seed in groups.items()}
    merged = [_merge(by_seed, retries) for by_seed in groups.values()]
    return sorted([*found, *(trial for trial in merged if trial is not None)], key=lambda trial: trial.number)


def _drop_untrained(by_seed: Mapping[int, list[Trial]], retries: int) -> dict[int, list[Trial]]:
    """Drop the seeds that will not be trained, since the first one has ended without being completed."""
    first = next(iter(by_seed.values()))
    ended = choose_attempt(first, retries) if first else None
    is_lost = ended is not None and ended.result.status != "completed"
    return {seed: attempts for seed, attempts in by_seed.items() if attempts or not is_lost}


def _merge(by_seed: Mapping[int, Sequence[Trial]], retries: int) -> Trial | None:
    """Merge the attempts of all seeds into one trial; None while a seed has no final result."""
    ended = [choose_attempt(attempts, retries) if attempts else None for attempts in by_seed.values()]
    trials = [trial for trial in ended if trial is not None]
    if len(trials) < len(ended):
        return None
    first = trials[0]
    number = min(trial.number for attempts in by_seed.values() for trial in attempts)
    return replace(
        first,
        number=number,
        result=combine_results(number, [trial.result for trial in trials]),
        intermediate=_average_intermediate([trial.intermediate for trial in trials]),
        ended=max((trial.ended for trial in trials if trial.ended is not None), default=None),
        killed=any(trial.killed for trial in trials),
        retry_of=None,
        seed_runs={trial.directory: trial.result for trial in trials},
        lives=tuple(life for trial in trials for life in trial.lives),
    )


def combine_results(number: int, results: Sequence[TrialResult]) -> TrialResult:
    """Combine the results of all seeds: IQMs, summed costs, and status and cause of the first uncompleted seed."""
    first = results[0]
    lost = next((result for result in results if result.status != "completed"), None)
    means: dict[str, Any] = {}
    if lost is None:
        means = {name: _compute_means([getattr(result, name) for result in results]) for name in MEANS}
    return TrialResult(
        status=first.status if lost is None else lost.status,
        trial=number,
        seed=first.seed,
        seeds=[result.seed for result in results],
        applied=first.applied,
        env_steps=sum(result.env_steps for result in results),
        evaluation_env_steps=sum(result.evaluation_env_steps for result in results),
        wall_time_s=round(sum(result.wall_time_s for result in results), 3),
        unstable_robots=sum(result.unstable_robots for result in results),
        cause=None if lost is None or lost.cause is None else f"seed {lost.seed}: {lost.cause}",
        **means,
    )


def _compute_means(rows: Sequence[Mapping[str, float | None]]) -> dict[str, Any]:
    """Compute the interquartile mean of each column; None if a seed has no value, as its event never happened."""
    columns = {name: [row.get(name) for row in rows] for name in rows[0]}
    return {
        name: None if None in values else compute_iqm([value for value in values if value is not None])
        for name, values in columns.items()
    }


def _average_intermediate(rows: Sequence[Mapping[int, float]]) -> dict[int, float]:
    """Compute the IQM of the intermediate held-out values, at the evaluations that every seed has reached."""
    steps = sorted(set.intersection(*(set(row) for row in rows)))
    return {step: compute_iqm([row[step] for row in rows]) for step in steps}
