"""A worker that a Hydra launcher runs as one of several jobs: the same command line, with one worker."""

import json
import os
import signal
import subprocess
import sys
import types
from pathlib import Path

from hydra.core.hydra_config import HydraConfig

from vbot_train.config.keys import THREAD_KEYS
from vbot_train.search.naming import format_as_override, parse_key

COMMAND = "VBOT_TRAIN_COMMAND"  # environment variable: arguments of the launching command line, never in a file


def export_command() -> None:
    """Pass the arguments of this command line to the jobs about to be launched."""
    os.environ[COMMAND] = json.dumps(sys.argv[1:])


def read_typed_arguments() -> list[str]:
    """Return the arguments that the user typed; in a launched worker, those of the launching command line."""
    handed_on = os.environ.get(COMMAND)
    return sys.argv[1:] if handed_on is None else list(json.loads(handed_on))


def run_worker(workers: int) -> None:
    """Run one worker on the study in this job's sweep directory.

    Args:
        workers: Number of workers that share it; several run on one thread each.

    Raises:
        SystemExit: With the exit code of the worker, unless that is 0.
    """
    node = HydraConfig.get()
    directory = Path(node.sweep.dir)
    given = read_typed_arguments()
    threads = [f"{key}=1" for key in THREAD_KEYS if workers > 1 and key not in map(parse_key, given)]
    place = [f"hydra.sweep.dir={directory}", format_as_override(directory.name)]
    arguments = [*threads, *given, *place, "hydra/launcher=basic", "workers=1"]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the worker gets Ctrl-C itself and needs time to finish
    process = subprocess.Popen([sys.executable, "-m", "vbot_train", *arguments], cwd=node.runtime.cwd)

    def hand_on(number: int, frame: types.FrameType | None) -> None:
        process.send_signal(number)

    signal.signal(signal.SIGTERM, hand_on)
    if code := process.wait():
        raise SystemExit(code)
