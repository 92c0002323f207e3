"""A study's database that cannot be used."""

import shutil
import sqlite3
import warnings

import optuna
import pytest
from optuna.distributions import FloatDistribution

from vbot_train.config import ConfigError
from vbot_train.search import study as study_module
from vbot_train.search.study import STUDY_DB, begin_study, connect, continue_study, home_of, look_into

RECORD = {"study": "s", "storage": None}


@pytest.fixture
def database(tmp_path, empty_study):
    shutil.copy(empty_study, tmp_path)
    return tmp_path / STUDY_DB


def open_it(database):
    return continue_study(database.parent, None, dict(RECORD), None, nothing, alone=True)


def nothing(study):
    """No priors."""


def test_a_study_that_is_whole_is_opened_and_noted_as_resumed(database):
    assert open_it(database).study_name == "s"
    assert "resumed:" in (database.parent / "study.yaml").read_text(encoding="utf-8")


def test_a_database_that_is_none_is_refused_and_left_alone(database):
    database.write_text("nothing of the kind", encoding="utf-8")
    with pytest.raises(ConfigError, match="file is not a database"):
        open_it(database)
    assert database.read_text(encoding="utf-8") == "nothing of the kind"


def test_a_database_without_the_study_is_refused(database):
    with pytest.raises(ConfigError, match="cannot be used"):
        continue_study(database.parent, None, {**RECORD, "study": "other"}, None, nothing, alone=True)


def test_a_missing_database_is_not_made_anew(database):
    database.unlink()
    with pytest.raises(ConfigError, match="is missing"):
        open_it(database)
    assert not database.exists()


def test_a_locked_database_is_refused_when_patience_ends(database, monkeypatch):
    monkeypatch.setattr(study_module, "LOCKED_S", 0.1)
    with sqlite3.connect(database) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(ConfigError, match="database is locked"):
            open_it(database)


def test_a_study_moves_with_what_an_earlier_version_left_in_it(database):
    study = optuna.load_study(study_name="s", storage=connect(None, database.parent))
    study.set_user_attr("infeasible", {"unstable": 3})
    study.enqueue_trial({"x": 0.9 + 0.05}, user_attrs={"origin": "enqueued"})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # out of range, says Optuna
        study.tell(study.ask({"x": FloatDistribution(0.9, 0.95, step=0.05)}), 1.0)
    there = f"sqlite:///{database.with_name('other.db')}"
    moved = continue_study(database.parent, there, dict(RECORD), None, nothing, alone=True)
    (trial,) = moved.get_trials()
    assert (trial.params, trial.value, trial.user_attrs) == ({"x": 0.95}, 1.0, {"origin": "enqueued"})
    assert (moved.user_attrs, moved.direction) == (study.user_attrs, study.direction)


def test_looking_into_a_study_changes_nothing(database):
    before = database.read_bytes()
    assert look_into(database.parent, None, RECORD) == []
    assert database.read_bytes() == before and [path.name for path in database.parent.iterdir()] == [STUDY_DB]


def begin(database, prepare=nothing):
    record = {"study": "s", "metric": "episode_reward_mean"}
    return begin_study(database.parent, None, record, None, {}, prepare)


def test_a_beginning_that_was_cut_short_is_begun_anew(database):
    """Priors of maybe another question wait in the database, and there is no record yet."""
    earlier = optuna.load_study(study_name="s", storage=f"sqlite:///{database}")
    earlier.enqueue_trial({"x": 1})
    study = begin(database, lambda study: study.enqueue_trial({"y": 2}))
    (trial,) = study.get_trials(deepcopy=False)
    assert trial.system_attrs["fixed_params"] == {"y": 2}


def test_trials_without_a_record_are_never_begun_over(database):
    earlier = optuna.load_study(study_name="s", storage=f"sqlite:///{database}")
    earlier.tell(earlier.ask(), 1.0)
    with pytest.raises(ConfigError, match=r"the storage has its trials, but .* no study.yaml of it"):
        begin(database)
    assert len(earlier.get_trials()) == 1


def test_what_is_queued_first_is_queued_before_the_record_says_that_the_study_is_whole(database):
    def fail(study):
        raise RuntimeError("killed here")

    with pytest.raises(RuntimeError):
        begin(database, fail)
    assert not (database.parent / "study.yaml").exists()


@pytest.mark.parametrize(
    ("home", "given", "used"),
    [
        (None, None, None),
        (None, "sqlite:///other.db", None),
        ("sqlite:///its.db", "sqlite:///other.db", "sqlite:///its.db"),
        ("postgresql://me:***@host/base", "postgresql://me:secret@host/base", "postgresql://me:secret@host/base"),
        ("postgresql://me:***@host/base", "sqlite:///other.db", "postgresql://me:***@host/base"),
    ],
)
def test_a_study_lives_where_its_record_says(home, given, used):
    assert home_of({"storage": home}, given) == used
