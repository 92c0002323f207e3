"""When a trial ran: each of its lives, from the claim to its end, in UTC, so that hosts in different zones agree.

A trial that is put off and continued has several; the pause between two of them is none. A host's sleep ends no life.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

LIVES = "lives"  # attribute of a trial
WALL_TIME_S = "wall_time_s"  # of older studies, in its place: from Optuna's start, which is local time

Span = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True)
class Life:
    """A time during which a trial ran."""

    start: datetime  # UTC
    end: datetime | None = None  # UTC; None while it runs, or where nobody told
    env_steps: int = 0  # trained in it
    host: str = ""
    from_env_steps: int | None = None  # of the state that it continued from, 0 at the beginning; None: not known
    killed: bool = False  # while its worker lived: the trial may be what fills the memory


def read_lives(trial: optuna.Trial | FrozenTrial) -> list[Life]:
    """The lives of a trial so far."""
    told = trial.user_attrs.get(LIVES)
    if told is not None:
        return [_read(life) for life in told]
    if trial.datetime_start is None:
        return []
    start, wall_time_s = trial.datetime_start.astimezone(UTC), trial.user_attrs.get(WALL_TIME_S)
    return [Life(start, None if wall_time_s is None else start + timedelta(seconds=wall_time_s))]


def begin_life(trial: optuna.Trial, host: str) -> None:
    """Write down that a trial begins, or goes on, now."""
    earlier = read_lives(trial) if LIVES in trial.user_attrs else []
    _tell(trial, [*earlier, Life(datetime.now(UTC), host=host)])


def note_start(trial: optuna.Trial, from_env_steps: int) -> None:
    """Write down where a trial's last life began to train."""
    *earlier, last = read_lives(trial)
    _tell(trial, [*earlier, replace(last, from_env_steps=from_env_steps)])


def end_life(trial: optuna.Trial, seconds: float, env_steps: int, *, killed: bool = False) -> None:
    """Write down how a trial's last life ended, unless somebody has.

    Args:
        trial: The trial.
        seconds: How long it lasted [s].
        env_steps: Of the training at its end, those of earlier lives included.
        killed: Whether its process was killed while its worker lived.
    """
    *earlier, last = read_lives(trial)
    if last.end is None:
        trained = max(env_steps - (last.from_env_steps or 0), 0)
        last = replace(last, end=last.start + timedelta(seconds=seconds), env_steps=trained, killed=killed)
    _tell(trial, [*earlier, last])


def list_spans(trial: FrozenTrial, now: datetime | None = None) -> list[Span]:
    """Start and end of each life; of a trial that runs, the last one ends ``now``, or if that is left out is empty."""
    is_running = trial.state == TrialState.RUNNING
    return [(life.start, life.end or (now if now and is_running else life.start)) for life in read_lives(trial)]


def compute_runtime_s(trial: FrozenTrial, now: datetime | None = None) -> float:
    """How long a trial ran, its pauses left out [s]; as ``list_spans``."""
    return sum(max((end - start).total_seconds(), 0.0) for start, end in list_spans(trial, now))


def find_end(trial: FrozenTrial) -> datetime | None:
    """When a trial ended (UTC), None while it has not."""
    if trial.datetime_complete is None:
        return None
    told = [life.end for life in read_lives(trial) if life.end is not None] if LIVES in trial.user_attrs else []
    return max(told, default=trial.datetime_complete.astimezone(UTC))


def _read(told: Mapping[str, Any]) -> Life:
    end = None if told["end"] is None else datetime.fromisoformat(told["end"])
    rest = {key: told[key] for key in ("from_env_steps", "killed") if key in told}  # newer than the other keys
    return Life(datetime.fromisoformat(told["start"]), end, told["env_steps"], told["host"], **rest)


def _tell(trial: optuna.Trial, lives: Sequence[Life]) -> None:
    trial.set_user_attr(
        LIVES,
        [
            {
                "start": life.start.isoformat(timespec="milliseconds"),
                "end": None if life.end is None else life.end.isoformat(timespec="milliseconds"),
                "env_steps": life.env_steps,
                "host": life.host,
                "from_env_steps": life.from_env_steps,
                "killed": life.killed,
            }
            for life in lives
        ],
    )
