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
from collections.abc import Mapping, Sequence
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

ENV_STEPS_PER_S = 1_000_000.0  # that a trial says it makes


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
    shares = [k / config["training"]["evaluations"] for k in range(1, config["training"]["evaluations"] + 1)]
    replay(config, run_dir, [Evaluation(share, value * share, value * share) for share in shares], stop, report)
    seed, applied = config["seed"], dict(config["ppo"])
    metrics, env_steps = dict.fromkeys(METRICS, value), config["training"]["env_steps"]
    result = TrialResult("completed", number, seed, [seed], metrics=metrics, applied=applied, env_steps=env_steps)
    result.save(run_dir)


@dataclass(frozen=True)
class Evaluation:
    """What a held-out evaluation has found."""

    success_rate: float
    reward: float
    value: float  # of the metric that the search optimizes


def replay(
    config: Mapping[str, Any],
    run_dir: Path,
    evaluations: Sequence[Evaluation],
    stop: StopRequest,
    report: trial.Report,
) -> None:
    """Report held-out evaluations, as a training would, from the one on that is not in its directory yet.

    Args:
        config: Of the training.
        run_dir: Its directory.
        evaluations: Those that the training has had; fewer than its config says if it diverged.
        stop: Says when to end.
        report: Tells the worker.
    """
    metric, path = f"selection_{config['search']['metric']}", run_dir / PROGRESS_CSV
    if not path.exists():
        path.write_text(f"env_steps,success_rate,reward,{metric},evaluation,env_steps_per_s\n", encoding="utf-8")
    done = len(read_whole_rows(path))
    count, env_steps = config["training"]["evaluations"], config["training"]["env_steps"]
    at = [round(k / count * env_steps) for k in range(count + 1)]
    report({"kind": "begun", "env_steps": at[done]})
    for k, found in list(enumerate(evaluations, start=1))[done:]:
        stop.check()
        sleep(float(os.environ.get("IDLE_S", "0")) / count, stop)
        row = {"env_steps": at[k], "success_rate": found.success_rate, "reward": found.reward}
        row |= {metric: found.value, "evaluation": k, "env_steps_per_s": ENV_STEPS_PER_S}
        write_row(path, row)
        report({"kind": "update", **row})
        report({"kind": "state", "env_steps": at[k]})


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


def start(work: trial.Train, sweeper: type[VBotSweeper], node: type[VBotSweeperConf]) -> None:
    """Run a search, or one of its trials, which does this work instead of training.

    Args:
        work: What a trial does.
        sweeper: Names the file that calls this, so that its trials run that file.
        node: Names the sweeper.
    """
    if "--trial" in sys.argv:
        trial.main(work)
        return
    folder = str(Path(__file__).parent)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [folder, os.environ.get("PYTHONPATH")]))
    Plugins.instance().register(sweeper)
    ConfigStore.instance().store(group="hydra/sweeper", name="vbot", node=node, replace=True)
    main()


if __name__ == "__main__":
    start(idle, IdleSweeper, IdleSweeperConf)
