"""One training run: config in, ``result.yaml`` out, however it ends."""

import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vbot_train.agent.trainer import DivergedError
from vbot_train.config.checks import check_config
from vbot_train.training.files import write_atomically
from vbot_train.training.result import TrialResult, TrialStopped
from vbot_train.training.run import Report, Run, count_update_threads
from vbot_train.training.run_directory import describe_cause, own_run_directory
from vbot_train.training.state import read_state, remove_state
from vbot_train.training.stop import StopRequest

STATE_EVERY_S = 60.0  # a killed training loses no more than that, and one update


def train(
    config: Mapping[str, Any],
    run_dir: Path,
    *,
    trial: int | None = None,
    bar: bool = False,
    stop: StopRequest | None = None,
    report: Report | None = None,
    state_every_s: float = STATE_EVERY_S,
) -> TrialResult:
    """Train, and write ``result.yaml``, ``progress.csv`` and ``checkpoints/`` into ``run_dir``.

    A training whose ``checkpoints/state.pt`` is there, and whose result is not, goes on from it.

    Args:
        config: The composed config, in plain containers.
        run_dir: A directory without a run in it, or with one to continue; it is created if need be.
        trial: Number in its study.
        bar: Show a progress bar.
        stop: Asks it to stop: between two updates, or between two control steps of an evaluation.
        report: Told in plain data that learning begins, of each update, and of each state on the disk.
        state_every_s: How often the state is written at least [s].

    Returns:
        The result: ``completed``, ``diverged``, or what ``TrialStopped`` says (``pruned``, ``timeout``). Any other
        error is recorded as ``failed`` and raised.

    Raises:
        ConfigError: The config cannot train, ``run_dir`` is another's or holds a run that has ended, or its state
            cannot be continued.
        TrialStopped: It was interrupted. It has no result; the state is on the disk.
    """
    check_config(config)
    with own_run_directory(run_dir):
        state = read_state(run_dir, config, count_update_threads(config))
        run = Run(config, run_dir, trial, stop or StopRequest(), report or (lambda event: None), state_every_s)
        try:
            run.build(state)
            result = run.result("completed", **run.learn_and_evaluate(bar, state))
        except DivergedError as error:
            save_traceback(run_dir)
            result = run.result("diverged", cause=str(error))
        except TrialStopped as asked:
            if asked.status == "interrupted":
                raise
            if asked.status != "pruned":
                save_traceback(run_dir)
            result = run.result(asked.status, cause=asked.cause)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            if run.is_learning or state is None:  # else it may go on elsewhere: what is on the disk stays as it is
                record_failure(run, error)
            raise
        result.save(run_dir)
        remove_state(run_dir)
    return result


def save_traceback(run_dir: Path) -> None:
    """Write down where a run was when it ended early."""
    write_atomically(run_dir / "error.txt", traceback.format_exc())


def record_failure(run: Run, error: BaseException) -> None:
    """Write down an end that nobody foresaw, as far as the disk lets it: what is raised is the error itself."""
    try:
        save_traceback(run.run_dir)
        run.result("failed", cause=describe_cause(error)).save(run.run_dir)
        remove_state(run.run_dir)
    except OSError as other:
        error.add_note(f"{run.run_dir}: how the run ended cannot be recorded ({other})")
