"""vbot_train with trials that train nothing, to look at the search itself.

python benchmarks/idle.py -m search=full search.max_trials=20

Everything is as in ``python -m vbot_train``, but for what a trial does: its value is a smooth function of the learning
rate, told as held-out values on the way. The environment says more: IDLE_S, seconds that it sleeps (0); IDLE_IMPORT, it
imports torch, skrl and mujoco first; IDLE_CRASH, the number of the trial that exits with code 3, or all;
IDLE_STUBBORN, it does not listen when its search tells it to stop.
"""

import csv
import math
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import vbot_train.search.process as process
import vbot_train.training.trial as trial
from vbot_train.__main__ import main
from vbot_train.training.result import METRICS, SEARCH_STOPPED, TrialResult


def idle(config: Mapping[str, Any], run_dir: Path, number: int) -> None:
    """What a trial does instead of training."""
    if os.environ.get("IDLE_IMPORT"):
        import mujoco  # noqa: F401
        import skrl.agents.torch.ppo  # noqa: F401
        import torch  # noqa: F401
    if os.environ.get("IDLE_CRASH") in ("all", str(number)):
        os._exit(3)
    if os.environ.get("IDLE_STUBBORN"):
        signal.signal(SEARCH_STOPPED, signal.SIG_IGN)
    value = -((math.log10(config["ppo"]["learning_rate"]) + 3.5) ** 2)
    evaluations, metric = config["training"]["evaluations"], config["search"]["metric"]
    env_steps = config["training"]["env_steps"]
    with (run_dir / "progress.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.DictWriter(file, ["env_steps", "success_rate", "reward", f"selection_{metric}"])
        rows.writeheader()
        for share in (k / evaluations for k in range(1, evaluations + 1)):
            time.sleep(float(os.environ.get("IDLE_S", "0")) / evaluations)
            row = {"env_steps": round(share * env_steps), "success_rate": share, "reward": value * share}
            rows.writerow({**row, f"selection_{metric}": value * share})
            file.flush()
    seed, applied = config["seed"], dict(config["ppo"])
    metrics = dict.fromkeys(METRICS, value)
    result = TrialResult("completed", number, seed, [seed], metrics=metrics, applied=applied, env_steps=env_steps)
    result.save(run_dir)


if __name__ == "__main__":
    if "--parent" in sys.argv:
        trial.train_config = idle
        trial.main()
    else:
        folder = str(Path(__file__).parent)
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [folder, os.environ.get("PYTHONPATH")]))
        process.MODULE = "idle"
        main()
