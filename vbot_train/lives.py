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


def lives_of(trial: optuna.Trial | FrozenTrial) -> list[Life]:
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
    earlier = lives_of(trial) if LIVES in trial.user_attrs else []
    _tell(trial, [*earlier, Life(datetime.now(UTC), host=host)])


def end_life(trial: optuna.Trial, lived_s: float, env_steps: int) -> None:
    """Write down how a trial's last life ended, unless somebody has.

    Args:
        trial: The trial.
        lived_s: How long it lasted [s].
        env_steps: Trained in it.
    """
    *earlier, last = lives_of(trial)
    if last.end is None:
        last = replace(last, end=last.start + timedelta(seconds=lived_s), env_steps=env_steps)
    _tell(trial, [*earlier, last])


def spans_of(trial: FrozenTrial, now: datetime | None = None) -> list[Span]:
    """Start and end of each life; of a trial that runs, the last one ends ``now``, or if that is left out is empty."""
    is_running = trial.state == TrialState.RUNNING
    return [(life.start, life.end or (now if now and is_running else life.start)) for life in lives_of(trial)]


def lived_s(trial: FrozenTrial, now: datetime | None = None) -> float:
    """How long a trial ran, its pauses left out [s]; as ``spans_of``."""
    return sum(max((end - start).total_seconds(), 0.0) for start, end in spans_of(trial, now))


def ended_at(trial: FrozenTrial) -> datetime | None:
    """When a trial ended (UTC), None while it has not."""
    if trial.datetime_complete is None:
        return None
    told = [life.end for life in lives_of(trial) if life.end is not None] if LIVES in trial.user_attrs else []
    return max(told, default=trial.datetime_complete.astimezone(UTC))


def _read(told: Mapping[str, Any]) -> Life:
    end = None if told["end"] is None else datetime.fromisoformat(told["end"])
    return Life(datetime.fromisoformat(told["start"]), end, told["env_steps"], told["host"])


def _tell(trial: optuna.Trial, lives: Sequence[Life]) -> None:
    trial.set_user_attr(
        LIVES,
        [
            {
                "start": life.start.isoformat(timespec="milliseconds"),
                "end": None if life.end is None else life.end.isoformat(timespec="milliseconds"),
                "env_steps": life.env_steps,
                "host": life.host,
            }
            for life in lives
        ],
    )
