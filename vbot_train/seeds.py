"""One configuration on several training seeds: a run per seed, their interquartile mean as the result."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vbot_train.training.result import TrialResult, iqm

Train = Callable[[Mapping[str, Any], Path], TrialResult]


def train_seeds(config: Mapping[str, Any], run_dir: Path, seeds: Sequence[int], train: Train) -> TrialResult:
    """Train a configuration on each of the seeds, in ``run_dir/seed_42`` and so on, and write the result over them.

    The first run that is not completed ends it: a configuration that diverges on one seed has diverged.

    Args:
        config: The composed config, in plain containers.
        run_dir: An existing directory.
        seeds: At least one.
        train: Trains one config in one directory; what it raises it has recorded there as ``failed``.
    """
    results: list[TrialResult] = []
    for seed in seeds:
        directory = run_dir / f"seed_{seed}"
        directory.mkdir()
        try:
            results.append(train({**config, "seed": seed}, directory))
        except Exception:
            combine([*results, TrialResult.load(directory)]).save(run_dir)
            raise
        if results[-1].status != "completed":
            break
    result = combine(results)
    result.save(run_dir)
    return result


def combine(results: Sequence[TrialResult]) -> TrialResult:
    """The result over seeds: interquartile means, summed costs, the status and cause of the last one."""
    first, last = results[0], results[-1]
    completed = last.status == "completed"
    return TrialResult(
        status=last.status,
        trial=first.trial,
        seed=first.seed,
        seeds=[result.seed for result in results],
        metrics=_means([result.metrics for result in results]) if completed else {},
        last_metrics=_means([result.last_metrics for result in results]) if completed else {},
        reward_terms=_means([result.reward_terms for result in results]) if completed else {},
        applied=first.applied,
        env_steps=sum(result.env_steps for result in results),
        evaluation_env_steps=sum(result.evaluation_env_steps for result in results),
        wall_time_s=round(sum(result.wall_time_s for result in results), 3),
        unstable_robots=sum(result.unstable_robots for result in results),
        cause=None if last.cause is None else f"seed {last.seed}: {last.cause}",
    )


def _means(rows: Sequence[Mapping[str, float | None]]) -> dict[str, Any]:
    """Interquartile mean of each column; None where one seed has none: what never happened has no mean."""
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    return {
        name: None if None in values else iqm([value for value in values if value is not None])
        for name, values in columns.items()
    }
