"""A chain that really trains, at the smallest sizes, and what it does with its policy."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from vbot_train.config.composition import load_recorded_config
from vbot_train.pipeline.state import ChainState
from vbot_train.training.result import TrialResult

CHAIN = ["pipeline=rings", "~pipeline.stages.middle", "training=smoke", "workers=1", "name=r", "budget_hours=0.3"]
RINGS = ("1-near", "2-outer")


@pytest.mark.slow
def test_each_ring_starts_from_the_policy_of_the_one_before_and_the_last_is_measured_and_exported(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "vbot_train.automl", *CHAIN],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},  # other tests train beside it
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    chain = tmp_path / "multirun" / "r"
    state = ChainState.read(chain)
    assert state.status == "done" and [step.status for step in state.steps] == ["done"] * 2
    assert [TrialResult.load(chain / ring).status for ring in RINGS] == ["completed"] * 2
    configs = [load_recorded_config(chain / ring) for ring in RINGS]
    starts = [config["init_from"] for config in configs]
    assert starts[0] is None and Path(starts[1]).name == "1-near"
    radii = [(config["env"]["spawn"]["min_radius_m"], config["env"]["spawn"]["max_radius_m"]) for config in configs]
    assert radii == [(2, 5), (8, 11)]
    outcomes = json.loads((chain / "outcomes.json").read_text(encoding="utf-8"))
    assert outcomes["episodes"] == 1024
    assert (chain / "policy.onnx").exists() == (importlib.util.find_spec("onnxscript") is not None)
    assert "1024 episodes of the final policy" in (chain / "report.html").read_text(encoding="utf-8")
