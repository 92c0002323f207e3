"""Steps in a study whose database somebody else has locked."""

import sqlite3

import pytest
from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import OperationalError

from vbot_train.study import storage
from vbot_train.study.storage import retry_while_locked

LOCKED = OperationalError("UPDATE", {}, sqlite3.OperationalError("database is locked"))
FULL = OperationalError("UPDATE", {}, sqlite3.OperationalError("database or disk is full"))


def as_optuna_wraps(error):
    wrapped = StorageInternalError("An exception is raised during the commit.")
    wrapped.__cause__ = error
    return wrapped


def failing(*errors):
    """A step that raises these, one after the other, and then succeeds."""
    left = list(errors)

    @retry_while_locked
    def step(value):
        if left:
            raise left.pop(0)
        return value

    return step


def test_a_locked_database_is_asked_again_until_it_answers(caplog):
    assert failing(LOCKED, as_optuna_wraps(LOCKED))(7) == 7
    assert caplog.messages == ["the study's storage: database is locked; trying again"] * 2


def test_another_error_is_raised_at_once():
    with pytest.raises(OperationalError, match="disk is full"):
        failing(FULL)(7)


def test_patience_ends(monkeypatch):
    monkeypatch.setattr(storage, "RETRY_S", -1)
    with pytest.raises(OperationalError, match="database is locked"):
        failing(LOCKED)(7)
