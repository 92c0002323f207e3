"""A worker that a Hydra launcher started, as one job of several: the same command line again, with one worker."""

import json
import os
import signal
import subprocess
import sys
import types
from pathlib import Path

from hydra.core.hydra_config import HydraConfig

from vbot_train.search.naming import format_as_override, parse_key
from vbot_train.training.comparable import THREAD_KEYS

COMMAND = "VBOT_TRAIN_COMMAND"  # environment variable: the arguments of the line that launches; no file holds them


def export_command() -> None:
    """Let the jobs that are about to be launched know this command line."""
    os.environ[COMMAND] = json.dumps(sys.argv[1:])


def read_typed_arguments() -> list[str]:
    """The arguments that a person typed: those of the launching line in a worker that was launched."""
    handed_on = os.environ.get(COMMAND)
    return sys.argv[1:] if handed_on is None else list(json.loads(handed_on))


def run_worker(workers: int) -> None:
    """Work on the study that this job's sweep directory holds.

    Args:
        workers: How many share it: several run on one thread each.

    Raises:
        SystemExit: With the exit code of the worker, unless that is 0.
    """
    node = HydraConfig.get()
    directory = Path(node.sweep.dir)
    given = read_typed_arguments()
    threads = [f"{key}=1" for key in THREAD_KEYS if workers > 1 and key not in map(parse_key, given)]
    place = [f"hydra.sweep.dir={directory}", format_as_override(directory.name)]
    arguments = [*threads, *given, *place, "hydra/launcher=basic", "workers=1"]
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # the worker hears Ctrl-C itself, and needs time to put things in order
    process = subprocess.Popen([sys.executable, "-m", "vbot_train", *arguments], cwd=node.runtime.cwd)

    def hand_on(number: int, frame: types.FrameType | None) -> None:
        process.send_signal(number)

    signal.signal(signal.SIGTERM, hand_on)
    if code := process.wait():
        raise SystemExit(code)
