"""The process of one trial: ``python -m vbot_train.training.trial DIR --trial N``.

It trains the config recorded in DIR, or resumes an interrupted run there. It reports to its worker on standard output,
and receives stop requests on standard input; see ``channel``.
"""

import argparse
import faulthandler
import gc
import signal
import traceback
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from vbot_train.training.channel import INTERRUPTED, Channel
from vbot_train.training.files import is_disk_fault
from vbot_train.training.result import RESUMABLE, TrialStopped
from vbot_train.training.stop import Report, StopRequest

LOCK_TIMEOUT_S = 60.0  # for a process of a dead worker, which still writes the state that this one continues from

Train = Callable[[Mapping[str, Any], Path, int, StopRequest, Report], None]


def main(train: Train | None = None) -> None:
    """Train a trial of a search.

    Args:
        train: Function that trains the recorded config; None selects the real one, which imports torch.
    """
    parser = argparse.ArgumentParser(prog="python -m vbot_train.training.trial", description=main.__doc__)
    parser.add_argument("run_dir", type=Path, help="directory that holds the trial's config, and takes its result")
    parser.add_argument("--trial", type=int, required=True, help="its number")
    arguments = parser.parse_args()
    stop = StopRequest()
    channel = Channel(stop)  # first, because it redirects everything printed later
    faulthandler.enable()  # a crash in native code leaves its traceback in train.log
    _handle_signals(stop)
    try:
        train_trial(arguments.run_dir, arguments.trial, stop, channel.send, train or train_config)
    finally:
        channel.close()


def train_trial(run_dir: Path, number: int, stop: StopRequest, report: Report, train: Train) -> None:
    """Train the config recorded in ``run_dir`` until it is finished or the worker stops it.

    Raises:
        SystemExit: The trial was interrupted or paused.
    """
    from vbot_train.config.composition import load_recorded_config, look_up
    from vbot_train.training.run_directory import describe_cause, own_run_directory, record_early_end, state_path

    config = load_recorded_config(run_dir)
    seed = look_up(config, "seed")  # not validated yet: an invalid config is a failure that is recorded, too
    with own_run_directory(run_dir, LOCK_TIMEOUT_S):
        try:
            stop.check()
            train(config, run_dir, number, stop, report)
        except TrialStopped as stopped:  # stopped before ``train`` could record it, or interrupted
            if stopped.status in RESUMABLE:
                raise SystemExit(INTERRUPTED) from stopped
            record_early_end(run_dir, stopped.status, stopped, trial=number, seed=seed)
        except Exception as error:
            if is_disk_fault(error) and state_path(run_dir).exists():
                traceback.print_exc()
                report({"kind": "disk_fault", "cause": describe_cause(error)})
                raise SystemExit(INTERRUPTED) from error
            record_early_end(run_dir, "failed", error, trial=number, seed=seed)
            raise


def train_config(config: Mapping[str, Any], run_dir: Path, number: int, stop: StopRequest, report: Report) -> None:
    """Train one configuration with one seed."""
    gc.disable()  # a third of a million objects are imported, and stay until the process ends
    from vbot_train.training.train import train

    gc.freeze()  # nor does the end of the process need to look for garbage among them
    gc.enable()
    train(config, run_dir, trial=number, stop=stop, report=report)


def _handle_signals(stop: StopRequest) -> None:
    """Ignore Ctrl-C, which the search handles. On SIGTERM (system shutdown, low memory) request an interruption."""

    def ask(number: int, frame: types.FrameType | None) -> None:
        stop.stop("interrupted", f"it was told to stop ({signal.Signals(number).name}), and not by its search")

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, ask)


if __name__ == "__main__":
    main()
