"""Lives of a trial: the periods in which it ran, each from the moment a worker takes the trial to its end.

Times are in UTC, so that hosts in different time zones agree. A resumed trial has several lives, which exclude the
pauses between them. Suspending the host does not end a life.
"""

from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta

import optuna
from optuna.trial import FrozenTrial, TrialState
from pydantic.dataclasses import dataclass

from vbot_train.study.attributes import LIVES

Span = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True)
class Life:
    """One period in which a trial ran. Built from a study's database too, where times are texts."""

    start: datetime  # UTC
    end: datetime | None = None  # UTC; None while it runs, or if no end was recorded
    env_steps: int = 0  # trained in this life
    host: str = ""
    from_env_steps: int | None = None  # at its start: 0, or those of the resumed state; None: unknown
    killed: bool = False  # while its worker was alive: the trial itself may have exhausted the memory


def read_lives(trial: optuna.Trial | FrozenTrial) -> list[Life]:
    """Return the lives of a trial so far; of one whose worker died before it wrote any, one without an end."""
    if LIVES not in trial.user_attrs and trial.datetime_start is not None:
        return [Life(trial.datetime_start.astimezone(UTC))]
    return [Life(**life) for life in trial.user_attrs.get(LIVES, [])]


def begin_life(trial: optuna.Trial, host: str) -> None:
    """Record that a trial starts, or is resumed, now."""
    earlier = [life for life in read_lives(trial) if life.end is not None]  # a start that failed is repeated
    _write(trial, [*earlier, Life(datetime.now(UTC), host=host)])


def note_start(trial: optuna.Trial, from_env_steps: int) -> None:
    """Record from which env step a trial's last life started to train."""
    *earlier, last = read_lives(trial)
    _write(trial, [*earlier, replace(last, from_env_steps=from_env_steps)])


def end_life(trial: optuna.Trial, seconds: float, env_steps: int, *, killed: bool = False) -> None:
    """Record how a trial's last life ended, unless its end is recorded already.

    Args:
        trial: The trial.
        seconds: Duration of this life [s].
        env_steps: Env steps of the training at its end, including earlier lives.
        killed: Whether its process was killed while its worker was alive.
    """
    *earlier, last = read_lives(trial)
    if last.end is None:
        trained = max(env_steps - (last.from_env_steps or 0), 0)
        last = replace(last, end=last.start + timedelta(seconds=seconds), env_steps=trained, killed=killed)
    _write(trial, [*earlier, last])


def list_spans(trial: FrozenTrial, now: datetime | None = None) -> list[Span]:
    """List start and end of each life; a running trial's last life ends ``now``, or has length 0 if that is None."""
    is_running = trial.state == TrialState.RUNNING
    return [(life.start, life.end or (now if now and is_running else life.start)) for life in read_lives(trial)]


def compute_runtime_s(trial: FrozenTrial, now: datetime | None = None) -> float:
    """Compute how long a trial ran, without pauses [s]; ``now`` as for ``list_spans``."""
    return sum(max((end - start).total_seconds(), 0.0) for start, end in list_spans(trial, now))


def find_end(trial: FrozenTrial) -> datetime | None:
    """Return when a trial ended (UTC), None if it has not."""
    if trial.datetime_complete is None:
        return None
    ends = [life.end for life in read_lives(trial) if life.end is not None]
    return max(ends, default=trial.datetime_complete.astimezone(UTC))


def _write(trial: optuna.Trial, lives: Sequence[Life]) -> None:
    times = [{"start": _format_time(life.start), "end": life.end and _format_time(life.end)} for life in lives]
    trial.set_user_attr(LIVES, [asdict(life) | own for life, own in zip(lives, times, strict=True)])


def _format_time(time: datetime) -> str:
    return time.isoformat(timespec="milliseconds")
