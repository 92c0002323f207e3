"""How long a training takes on this machine, from a few short ones."""

import statistics
from collections.abc import Iterable
from pathlib import Path

from vbot_train.config.schema import Config
from vbot_train.pipeline.state import Speed
from vbot_train.study.layout import TRIALS
from vbot_train.training.progress import PROGRESS_CSV, read_whole_rows
from vbot_train.training.result import FILE_NAME, TrialResult

SPEED = "0-speed"  # folder of the study
EVALUATION = 2.0  # times the env steps per second of learning, at least: bare physics makes 2.5 times them (README)


def measure_speed(study_dir: Path, workers: int) -> Speed | None:
    """Read the speed off the trainings of a study with so many workers; None if none was completed."""
    found = [path.parent for path in sorted((study_dir / TRIALS).glob(f"*/{FILE_NAME}"))]
    runs = [(TrialResult.load(directory), _read_speeds(directory)) for directory in found]
    measured = [_split(result, speeds) for result, speeds in runs if result.status == "completed" and speeds]
    if not measured:
        return None
    fixed_s, speed = (statistics.median(column) for column in zip(*measured, strict=True))
    return Speed(workers=workers, fixed_s=fixed_s, env_steps_per_s=speed, evaluation_env_steps_per_s=EVALUATION * speed)


def estimate_run_s(speed: Speed, config: Config) -> float:
    """Estimate the wall clock of a training from its beginning to its end [s]."""
    evaluated = config.trial_env_steps - config.training.env_steps
    learning_s = config.training.env_steps / speed.env_steps_per_s
    return speed.factor * (speed.fixed_s + learning_s + evaluated / speed.evaluation_env_steps_per_s)


def _split(result: TrialResult, speeds: list[float]) -> tuple[float, float]:
    """Split a training's wall clock. Returns the time that is the same for every length [s], and the env steps/s."""
    speed = statistics.median(speeds)
    variable_s = result.env_steps / speed + result.evaluation_env_steps / (EVALUATION * speed)
    return max(result.wall_time_s - variable_s, 0.0), speed


def _read_speeds(directory: Path) -> list[float]:
    rows: Iterable[dict[str, str]] = read_whole_rows(directory / PROGRESS_CSV)
    return [float(row["env_steps_per_s"]) for row in rows]
