"""The process of one trial: ``python -m vbot_train.training.trial DIR --trial N``.

It trains on the config recorded in DIR, and continues a training that was interrupted there. Its worker hears of it by
its standard output, and asks it to stop by its standard input; see ``channel``.
"""

import argparse
import faulthandler
import signal
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from vbot_train.training.channel import INTERRUPTED, Channel
from vbot_train.training.result import TrialStopped
from vbot_train.training.stop import StopRequest

Report = Callable[[Mapping[str, Any]], None]
Train = Callable[[Mapping[str, Any], Path, int, StopRequest, Report], None]


def main(train: Train | None = None) -> None:
    """Train a trial of a search.

    Args:
        train: Trains the recorded config in its directory; None is the real thing, which imports torch.
    """
    parser = argparse.ArgumentParser(prog="python -m vbot_train.training.trial", description=main.__doc__)
    parser.add_argument("run_dir", type=Path, help="directory that holds the trial's config, and takes its result")
    parser.add_argument("--trial", type=int, required=True, help="its number")
    arguments = parser.parse_args()
    stop = StopRequest()
    channel = Channel(stop)  # before anything else can print
    faulthandler.enable()  # a crash below Python leaves its traceback in train.log
    _handle_signals(stop)
    try:
        train_trial(arguments.run_dir, arguments.trial, stop, channel.send, train or train_config)
    finally:
        channel.close()


def train_trial(run_dir: Path, number: int, stop: StopRequest, report: Report, train: Train) -> None:
    """Train on the config recorded in ``run_dir``, for as long as the worker wants.

    Raises:
        SystemExit: It was interrupted.
    """
    from vbot_train.config.composition import load_recorded_config
    from vbot_train.training.run_directory import own_run_directory, record_early_end

    config = load_recorded_config(run_dir)
    with own_run_directory(run_dir):
        try:
            train(config, run_dir, number, stop, report)
        except TrialStopped as stopped:  # before the training could record it, or to be continued
            if stopped.status == "interrupted":
                raise SystemExit(INTERRUPTED) from stopped
            record_early_end(run_dir, stopped.status, stopped, trial=number, seed=config["seed"])
        except Exception as error:
            record_early_end(run_dir, "failed", error, trial=number, seed=config["seed"])
            raise


def train_config(config: Mapping[str, Any], run_dir: Path, number: int, stop: StopRequest, report: Report) -> None:
    """Train one configuration on one seed."""
    from vbot_train.training.train import train

    train(config, run_dir, trial=number, stop=stop, report=report)


def _handle_signals(stop: StopRequest) -> None:
    """Leave Ctrl-C to the search. A system that shuts down, or is short of memory, sends SIGTERM to each process."""

    def ask(number: int, frame: types.FrameType | None) -> None:
        stop.stop("interrupted", f"it was told to stop ({signal.Signals(number).name}), and not by its search")

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, ask)


if __name__ == "__main__":
    main()
