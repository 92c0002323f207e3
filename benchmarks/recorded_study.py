"""vbot_train with trials that take their results from the recorded curves: whole studies in seconds per trial.

python benchmarks/recorded_study.py -m training=quick training.evaluations=16 search.confirm=none study=recorded \
    ppo.learning_rate=1e-4,3e-4,1e-3,3e-3,1e-2 ppo.entropy_loss_scale=1e-4,3e-3,3e-2 \
    ppo.discount_factor=0.95,0.99,0.999 ppo.learning_epochs=2,5,10

Everything is as in ``python -m vbot_train``, but for what a trial does: it looks its settings and its seed up in
``benchmarks/data/`` (see ``record_curves.py``), reports the held-out values that were recorded there, and ends with the
metrics of the recorded checkpoint, on 512 other held-out episodes. So the study is the one that training would have
left, but for the wall clock, which is that of looking up.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from idle import Evaluation, replay, start
from record_curves import CURVES, EVALUATIONS, FINAL_METRICS, FINALS, GRID, Run, read_rows, run_of

from vbot_train.config.composition import look_up
from vbot_train.search.sweeper import VBotSweeper, VBotSweeperConf
from vbot_train.training import trial
from vbot_train.training.result import TrialResult
from vbot_train.training.stop import StopRequest

RECORDED = {"episode_reward_mean": "value", "success_rate": "success_rate"}  # columns of the metrics


class RecordedSweeper(VBotSweeper):
    """Its trials run this file."""

    trial_module = "recorded_study"


@dataclass
class RecordedSweeperConf(VBotSweeperConf):
    """Takes the place of ``hydra/sweeper=vbot``."""

    _target_: str = "__main__.RecordedSweeper"


def look_up_training(
    config: Mapping[str, Any], run_dir: Path, number: int, stop: StopRequest, report: trial.Report
) -> None:
    """What a trial does instead of training.

    Raises:
        ValueError: A training with these settings and this seed was not recorded.
    """
    run = tuple(float(look_up(config, key)) for key in GRID), int(config["seed"])
    finals = [row for row in read_rows(FINALS) if run_of(row) == run]
    if not finals:
        raise ValueError(f"no training was recorded with seed {run[1]} and {dict(zip(GRID, run[0], strict=True))}")
    evaluations = choose_evaluations(run, config["training"]["evaluations"], config["search"]["metric"])
    replay(config, run_dir, evaluations, stop, report)
    share = len(evaluations) / config["training"]["evaluations"]
    build_result(finals[-1], run, number, round(share * config["training"]["env_steps"])).save(run_dir)


def choose_evaluations(run: Run, number: int, metric: str) -> list[Evaluation]:
    """Return so many of a training's evaluations, evenly spaced; fewer of one that diverged.

    Raises:
        ValueError: The metric was not recorded, or not so many evaluations.
    """
    if metric not in RECORDED or EVALUATIONS % number:
        raise ValueError(f"{metric} at {number} evaluations was not recorded; {', '.join(RECORDED)}, a divisor of 16")
    rows = sorted((row for row in read_rows(CURVES) if run_of(row) == run), key=lambda row: float(row["step"]))
    chosen = rows[EVALUATIONS // number - 1 :: EVALUATIONS // number]
    return [Evaluation(float(row["success_rate"]), float(row["value"]), float(row[RECORDED[metric]])) for row in chosen]


def build_result(final: Mapping[str, str], run: Run, number: int, env_steps: int) -> TrialResult:
    """Build what a recorded training has ended with."""
    return TrialResult(
        final["status"],
        number,
        run[1],
        [run[1]],
        metrics={name: float(final[name]) for name in FINAL_METRICS if final[name]},
        applied=dict(zip(GRID, run[0], strict=True)),
        env_steps=env_steps,
        cause=None if final["status"] == "completed" else "diverged when it was recorded",
    )


if __name__ == "__main__":
    start(look_up_training, RecordedSweeper, RecordedSweeperConf)
