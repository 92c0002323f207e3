"""vbot_train with trials that train nothing, to look at the search itself.

python benchmarks/idle.py -m search=full search.max_trials=20

Everything is as in ``python -m vbot_train``, but for what a trial does: its value is a smooth function of the learning
rate, told as held-out values on the way, and it continues where it was interrupted. The environment says more: IDLE_S,
seconds that it sleeps (0); IDLE_IMPORT, it imports torch, skrl and mujoco first; IDLE_CRASH, the number of the trial
that exits with code 3, or all; IDLE_STUBBORN, it does not stop when it is asked to.
"""

import csv
import math
import os
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins

from vbot_train.__main__ import main
from vbot_train.search.sweeper import VBotSweeper, VBotSweeperConf
from vbot_train.training import trial
from vbot_train.training.metrics import METRICS
from vbot_train.training.progress import PROGRESS_CSV, read_whole_rows
from vbot_train.training.result import TrialResult
from vbot_train.training.stop import StopRequest


class IdleSweeper(VBotSweeper):
    """Its trials run this file."""

    trial_module = "idle"


@dataclass
class IdleSweeperConf(VBotSweeperConf):
    """Takes the place of ``hydra/sweeper=vbot``."""

    _target_: str = "__main__.IdleSweeper"


def idle(config: Mapping[str, Any], run_dir: Path, number: int, stop: StopRequest, report: trial.Report) -> None:
    """What a trial does instead of training."""
    if os.environ.get("IDLE_IMPORT"):
        import mujoco  # noqa: F401
        import skrl.agents.torch.ppo  # noqa: F401
        import torch  # noqa: F401
    if os.environ.get("IDLE_CRASH") in ("all", str(number)):
        os._exit(3)
    stop = StopRequest() if os.environ.get("IDLE_STUBBORN") else stop
    value = -((math.log10(config["ppo"]["learning_rate"]) + 3.5) ** 2)
    for row in continue_rows(config, run_dir, value, stop, report):
        write_row(run_dir / PROGRESS_CSV, row)
        report({"kind": "update", **row})
    seed, applied = config["seed"], dict(config["ppo"])
    metrics, env_steps = dict.fromkeys(METRICS, value), config["training"]["env_steps"]
    result = TrialResult("completed", number, seed, [seed], metrics=metrics, applied=applied, env_steps=env_steps)
    result.save(run_dir)


def continue_rows(
    config: Mapping[str, Any], run_dir: Path, value: float, stop: StopRequest, report: trial.Report
) -> Iterator[dict[str, Any]]:
    """The rows of progress that are not there yet; sleeps before each."""
    evaluations, metric = config["training"]["evaluations"], config["search"]["metric"]
    env_steps, path = config["training"]["env_steps"], run_dir / PROGRESS_CSV
    if not path.exists():
        path.write_text(f"env_steps,success_rate,reward,selection_{metric},evaluation\n", encoding="utf-8")
    done = len(read_whole_rows(path))
    report({"kind": "begun", "env_steps": round(done / evaluations * env_steps)})
    for k in range(done + 1, evaluations + 1):
        sleep(float(os.environ.get("IDLE_S", "0")) / evaluations, stop)
        share = k / evaluations
        row = {"env_steps": round(share * env_steps), "success_rate": share, "reward": value * share}
        yield {**row, f"selection_{metric}": value * share, "evaluation": k}
        report({"kind": "state", "env_steps": row["env_steps"]})


def sleep(seconds: float, stop: StopRequest) -> None:
    """Sleep, unless asked to stop."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        stop.check()
        time.sleep(min(left, 0.02))


def write_row(path: Path, row: Mapping[str, Any]) -> None:
    """Append a row to a CSV file."""
    with path.open("a", newline="", encoding="utf-8") as file:
        csv.DictWriter(file, row).writerow(row)


if __name__ == "__main__":
    if "--trial" in sys.argv:
        trial.main(idle)
    else:
        folder = str(Path(__file__).parent)
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [folder, os.environ.get("PYTHONPATH")]))
        Plugins.instance().register(IdleSweeper)
        ConfigStore.instance().store(group="hydra/sweeper", name="vbot", node=IdleSweeperConf, replace=True)
        main()
