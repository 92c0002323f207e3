"""A study's database that cannot be used."""

import shutil
import sqlite3
from contextlib import suppress

import optuna
import pytest
from standing import record_of

from vbot_train.status.observer import Observer
from vbot_train.study import storage
from vbot_train.study.errors import StudyError
from vbot_train.study.layout import STUDY_DB
from vbot_train.study.loading import load_study
from vbot_train.study.opening import begin_study, continue_study, look_into, open_stage
from vbot_train.study.record import StudyRecord
from vbot_train.study.storage_url import check_storage

RECORD = StudyRecord("s", "episode_reward_mean")


@pytest.fixture
def database(tmp_path, empty_study):
    shutil.copy(empty_study, tmp_path)
    return tmp_path / STUDY_DB


def open_it(database):
    return continue_study(database.parent, None, RECORD, nothing)


def nothing(study):
    """Nothing is queued first."""


def test_a_study_that_is_whole_is_opened_and_noted_as_resumed(database):
    assert open_it(database).study_name == "s"
    assert "resumed:" in (database.parent / "study.yaml").read_text(encoding="utf-8")


def test_a_database_that_is_none_is_refused_and_left_alone(database):
    database.write_text("nothing of the kind", encoding="utf-8")
    with pytest.raises(StudyError, match="file is not a database"):
        open_it(database)
    assert database.read_text(encoding="utf-8") == "nothing of the kind"


def test_a_database_without_the_study_is_refused(database):
    with pytest.raises(StudyError, match="cannot be used"):
        continue_study(database.parent, None, record_of(name="other"), nothing)


def test_a_missing_database_is_not_made_anew(database):
    database.unlink()
    with pytest.raises(StudyError, match="is missing"):
        open_it(database)
    assert not database.exists()


def test_a_locked_database_is_refused_when_patience_ends(database, monkeypatch):
    monkeypatch.setattr(storage, "LOCKED_S", 0.1)
    with sqlite3.connect(database) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StudyError, match="database is locked"):
            open_it(database)


def test_a_study_stays_in_its_storage(database):
    there = f"sqlite:///{database.with_name('other.db')}"
    with pytest.raises(StudyError, match=r"^storage=.*other\.db: study=s lives in .*study\.db; leave storage= out"):
        continue_study(database.parent, there, RECORD, nothing)
    assert not database.with_name("other.db").exists()


def test_looking_into_a_study_changes_nothing(database):
    before = database.read_bytes()
    assert look_into(database.parent, None, RECORD) == {"trials": [], "confirm": [], "test": []}
    assert database.read_bytes() == before and [path.name for path in database.parent.iterdir()] == [STUDY_DB]


def begin(database, prepare=nothing, *, storage=None, directory=None):
    return begin_study(directory or database.parent, storage, RECORD, {}, prepare)


@pytest.fixture
def wanders(tmp_path, empty_study, monkeypatch):
    """A study whose record names its database as it was typed once, two directories to read it in."""
    for name in ("home", "away", "home/s"):
        (tmp_path / name).mkdir()
    shutil.copy(empty_study, tmp_path / "home" / "x.db")
    record_of(storage="sqlite:///x.db").write(tmp_path / "home" / "s")
    monkeypatch.chdir(tmp_path / "away")
    return tmp_path / "home" / "s"


def test_the_storage_that_is_written_down_is_the_same_file_everywhere(tmp_path, wanders, monkeypatch):
    monkeypatch.chdir(tmp_path / "home")
    continue_study(wanders, check_storage("sqlite:///x.db"), StudyRecord.read(wanders), nothing)
    monkeypatch.chdir(tmp_path / "away")
    assert StudyRecord.read(wanders).storage == f"sqlite:///{tmp_path / 'home' / 'x.db'}"
    assert not any(look_into(wanders, None, StudyRecord.read(wanders)).values())


READERS = {
    "look": lambda directory: look_into(directory, None, StudyRecord.read(directory)),
    "open_stage": lambda directory: open_stage(directory, None, "confirm"),
    "continue": lambda directory: continue_study(directory, None, StudyRecord.read(directory), nothing),
    "load": load_study,
    "status": lambda directory: Observer(directory).look(),
}


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
def test_whoever_looks_for_a_study_leaves_no_empty_database(tmp_path, wanders, reader):
    with pytest.raises(StudyError, match=r"x\.db is missing"):
        reader(wanders)
    assert list((tmp_path / "away").iterdir()) == []


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
def test_whoever_looks_for_a_study_in_an_empty_file_leaves_it_empty(tmp_path, wanders, reader):
    (tmp_path / "away" / "x.db").touch()
    with pytest.raises(StudyError, match="no such table"):
        reader(wanders)
    assert [path.stat().st_size for path in (tmp_path / "away").iterdir()] == [0]


@pytest.mark.parametrize("storage", ["sqlite://", "sqlite:///:memory:", "sqlite:///file:x?mode=memory&uri=true"])
def test_a_storage_that_nobody_else_could_read_is_refused(storage):
    with pytest.raises(StudyError, match=r"^storage=sqlite:.*: a database in memory ends with its connection"):
        check_storage(storage)


def test_a_beginning_that_was_cut_short_is_begun_anew(database):
    """Trials of maybe another search wait in the database, and there is no record yet."""
    earlier = optuna.load_study(study_name="s", storage=f"sqlite:///{database}")
    earlier.enqueue_trial({"x": 1})
    study = begin(database, lambda study: study.enqueue_trial({"y": 2}))
    (trial,) = study.get_trials(deepcopy=False)
    assert trial.system_attrs["fixed_params"] == {"y": 2}


def test_trials_without_a_record_are_never_begun_over(database):
    earlier = optuna.load_study(study_name="s", storage=f"sqlite:///{database}")
    earlier.tell(earlier.ask(), 1.0)
    with pytest.raises(StudyError, match=r"the storage holds it already, but .* no study.yaml of it"):
        begin(database)
    assert len(earlier.get_trials()) == 1


def cut_short(study):
    study.enqueue_trial({"x": 1})
    raise RuntimeError("killed here")


@pytest.fixture
def server(tmp_path, empty_study):
    """A storage elsewhere, where studies of other directories may live too."""
    (tmp_path / "server").mkdir()
    shutil.copy(empty_study, tmp_path / "server" / "x.db")
    url = f"sqlite:///{tmp_path / 'server' / 'x.db'}"
    optuna.delete_study(study_name="s", storage=url)
    return url


def test_a_beginning_that_was_cut_short_on_a_server_is_begun_anew(tmp_path, server):
    with pytest.raises(RuntimeError):
        begin(None, cut_short, storage=server, directory=tmp_path)
    study = begin(None, lambda study: study.enqueue_trial({"y": 2}), storage=server, directory=tmp_path)
    (trial,) = study.get_trials(deepcopy=False)
    assert trial.system_attrs["fixed_params"] == {"y": 2}
    assert (tmp_path / "study.yaml").exists()


@pytest.mark.parametrize("beginning", [cut_short, nothing], ids=["cut short", "without trials"])
def test_another_directorys_study_on_a_server_is_never_begun_over(tmp_path, server, beginning):
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    with suppress(RuntimeError):
        begin(None, beginning, storage=server, directory=tmp_path / "one")
    before = optuna.load_study(study_name="s", storage=server).get_trials()
    with pytest.raises(StudyError, match=r"the storage holds it already, but .*other no study.yaml of it"):
        begin(None, storage=server, directory=tmp_path / "other")
    assert optuna.load_study(study_name="s", storage=server).get_trials() == before


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
    assert record_of(storage=home).find_home(given) == used
