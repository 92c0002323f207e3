"""What a chain reads off its studies."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from vbot_train.pipeline.studies import has_run_out
from vbot_train.status.observer import Observer

IDLE = Path(__file__).parents[2] / "benchmarks" / "idle.py"
TWO = ["-m", "ppo.learning_rate=1e-4,1e-3", "search.max_trials=2", "method=random", "scheduler=none"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("budget_s", "environment", "ran_out"),
    [
        (3, {"IDLE_S": "60"}, True),  # its first training takes longer
        (3600, {"IDLE_CRASH": "all"}, False),
        (3600, {}, False),
    ],
)
def test_a_search_has_run_out_if_its_hours_hold_no_training_but_not_if_its_trainings_crash(
    tmp_path, budget_s, environment, ran_out
):
    line = [*TWO, "training=smoke", "workers=1", f"budget_hours={budget_s / 3600}", "study=s"]
    subprocess.run([sys.executable, IDLE, *line], cwd=tmp_path, env={**os.environ, **environment}, capture_output=True)
    progress = Observer(tmp_path / "multirun" / "s").look()
    assert progress.trials
    assert has_run_out(progress, training_s=60.0) is ran_out
