"""Train one config and write ``result.yaml``, for every outcome except an interruption."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vbot_train.agent.trainer import DivergedError
from vbot_train.config.checks import check_config
from vbot_train.training.files import is_disk_fault
from vbot_train.training.result import RESUMABLE, TrialResult, TrialStopped
from vbot_train.training.run_directory import describe_cause, own_run_directory, state_path, write_traceback
from vbot_train.training.saved_state import read_state, remove_state
from vbot_train.training.stop import Report, StopRequest
from vbot_train.training.training_run import Run

STATE_EVERY_S = 60.0  # a killed run loses at most this time plus one update


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

    If ``checkpoints/state.pt`` exists and ``result.yaml`` does not, training resumes from that state.

    Args:
        config: The composed config, in plain containers.
        run_dir: A directory without a run, or with a run to resume; created if missing.
        trial: Number of the trial in its study.
        bar: Show a progress bar.
        stop: Stop request, checked between two updates and between two control steps of an evaluation.
        report: Called with an event (plain data) when learning starts, after each update and after each saved state.
        state_every_s: Longest time between two saved states [s], checked after each update.

    Returns:
        The result with status ``completed``, ``diverged``, or that of ``TrialStopped`` (``timeout``). Any other
        error is raised, and recorded as ``failed`` unless the run can be resumed (the disk is full).

    Raises:
        ConfigError: The config is invalid, ``run_dir`` is in use or holds a finished run, or its state cannot be
            resumed.
        TrialStopped: The run was interrupted or paused. It has no result; its state is saved.
    """
    checked = check_config(config)
    with own_run_directory(run_dir):
        run = Run(checked, config, run_dir, trial, stop or StopRequest(), report or (lambda event: None), state_every_s)
        state = read_state(run_dir, config, run.machines[-1])
        try:
            run.build(state)
            result = run.result("completed", **run.learn_and_evaluate(bar, state))
        except DivergedError as error:
            write_traceback(run_dir, error)
            result = run.result("diverged", cause=str(error))
        except TrialStopped as asked:
            if asked.status in RESUMABLE:
                raise
            write_traceback(run_dir, asked)
            result = run.result(asked.status, cause=asked.cause)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            can_resume = state_path(run_dir).exists() and (is_disk_fault(error) or not run.is_learning)
            if not can_resume:
                record_failure(run, error)
            raise
        result.save(run_dir)
        remove_state(run_dir)
    return result


def record_failure(run: Run, error: BaseException) -> None:
    """Record an unexpected error as the run's result. If the disk does not allow it, add a note to the error."""
    try:
        write_traceback(run.run_dir, error)
        run.result("failed", cause=describe_cause(error)).save(run.run_dir)
        remove_state(run.run_dir)
    except OSError as other:
        error.add_note(f"{run.run_dir}: how the run ended cannot be recorded ({other})")
