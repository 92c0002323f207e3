"""The process of one trial: ``python -m vbot_train.training.trial DIR --trial N --parent PID``.

It trains on the config recorded in DIR. Signals are set before torch is imported, which takes seconds.
"""

import argparse
import faulthandler
import os
import signal
import threading
import time
import types
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from vbot_train.training.result import SEARCH_STOPPED, TrialStopped

STOPS = (signal.SIGTERM, SEARCH_STOPPED, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM)


def main() -> None:
    """Train a trial of a search."""
    parser = argparse.ArgumentParser(prog="python -m vbot_train.training.trial", description=main.__doc__)
    parser.add_argument("run_dir", type=Path, help="directory that holds the trial's config, and takes its result")
    parser.add_argument("--trial", type=int, required=True, help="its number")
    parser.add_argument("--parent", type=int, required=True, help="process number of the search")
    arguments = parser.parse_args()
    faulthandler.enable()  # a crash below Python leaves its traceback in train.log
    threading.Thread(target=_exit_with_parent, args=(arguments.parent,), daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the search's to handle
    signal.signal(SEARCH_STOPPED, _stopper("interrupted", "the search was stopped"))
    signal.signal(signal.SIGTERM, _stopper("interrupted", "it was told to stop (SIGTERM), and not by its search"))
    signal.signal(signal.SIGUSR2, _stopper("interrupted", "budget_hours is spent"))
    signal.signal(signal.SIGUSR1, _stopper("pruned", "the pruner stopped it"))
    train_trial(arguments.run_dir, arguments.trial)


def train_trial(run_dir: Path, number: int) -> None:
    """Train on the config recorded in ``run_dir``, on as many seeds and for as long as the search wants."""
    from vbot_train.config import load_recorded_config
    from vbot_train.training.run_directory import own_run_directory, record_early_end

    config = load_recorded_config(run_dir)
    with own_run_directory(run_dir):
        try:
            _set_clock(config["search"]["trial_minutes"])
            train_config(config, run_dir, number)
        except TrialStopped as stop:  # before the training could record it
            record_early_end(run_dir, stop.status, stop, trial=number, seed=config["seed"])
        except Exception as error:
            record_early_end(run_dir, "failed", error, trial=number, seed=config["seed"])
            raise


def train_config(config: Mapping[str, Any], run_dir: Path, number: int) -> None:
    """Train one configuration, on each of its seeds."""
    from vbot_train.config import training_seeds
    from vbot_train.seeds import train_seeds
    from vbot_train.training.train import train

    seeds = training_seeds(config)
    if len(seeds) == 1:
        train(config, run_dir, trial=number)
    else:
        train_seeds(config, run_dir, seeds, partial(train, trial=number))


def _set_clock(minutes: float | None) -> None:
    """Let the trial end as ``timeout`` when its time is up."""
    if minutes is not None:
        signal.signal(signal.SIGALRM, _stopper("timeout", f"longer than search.trial_minutes={minutes}"))
        signal.setitimer(signal.ITIMER_REAL, 60 * minutes)


def _stopper(status: str, cause: str) -> Callable[[int, types.FrameType | None], NoReturn]:
    """A signal handler that lets the trial write down how far it came."""

    def stop(number: int, frame: types.FrameType | None) -> NoReturn:
        for other in STOPS:  # one is enough; a second would tear the record of the first
            signal.signal(other, signal.SIG_IGN)
        raise TrialStopped(status, cause)

    return stop


def _exit_with_parent(parent: int) -> None:
    """A search that was killed must not leave trials behind that write into its study."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


if __name__ == "__main__":
    main()
