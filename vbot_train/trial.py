"""The process of one trial: ``python -m vbot_train.trial DIR --trial N --parent PID``.

It trains on the config recorded in DIR. Signals are set before torch is imported, which takes seconds.
"""

import argparse
import os
import signal
import threading
import time
import types
from pathlib import Path


def main() -> None:
    """Train a trial of a search."""
    parser = argparse.ArgumentParser(prog="python -m vbot_train.trial", description=main.__doc__)
    parser.add_argument("run_dir", type=Path, help="directory that holds the trial's config, and takes its result")
    parser.add_argument("--trial", type=int, required=True, help="its number")
    parser.add_argument("--parent", type=int, required=True, help="process number of the search")
    arguments = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the search's to handle
    signal.signal(signal.SIGTERM, _interrupt)
    threading.Thread(target=_exit_with_parent, args=(arguments.parent,), daemon=True).start()

    from vbot_train.config import load_recorded_config
    from vbot_train.train import train

    train(load_recorded_config(arguments.run_dir), arguments.run_dir, trial=arguments.trial)


def _interrupt(number: int, frame: types.FrameType | None) -> None:
    """Let the trial write down how far it came."""
    raise KeyboardInterrupt


def _exit_with_parent(parent: int) -> None:
    """A search that was killed must not leave trials behind that write into its study."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


if __name__ == "__main__":
    main()
