"""What is read of studies that run, were killed, or are none."""

import sqlite3
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import optuna
import pytest
from standing import add_trials, again, ended, life, number_trials, record_of, running, write_curve, write_study
from studies import METRIC
from studies import study as study_of

from vbot_train.analysis.verdict import Verdict
from vbot_train.status.observer import Observer, Progress, Stage, Training
from vbot_train.study import storage
from vbot_train.study.accounting import TrialCounts
from vbot_train.study.attributes import LIVES
from vbot_train.study.errors import StudyError
from vbot_train.study.storage_url import hide_password

NOW = datetime(2026, 5, 4, 20, 0, tzinfo=UTC)
NOTHING = Verdict(study_of([]), METRIC)
CUT_SHORT = """
import os, sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("PRAGMA cache_size = 1")  # what does not fit into the cache is written before the commit
connection.execute("UPDATE trial_values SET value = -1")
connection.execute("CREATE TABLE filler (content)")
connection.execute("INSERT INTO filler VALUES (zeroblob(100000))")
os._exit(9)
"""


def only_training(directory):
    (training,) = Observer(directory).look().running
    return training


def content_of(directory):
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_a_running_trial_is_where_its_last_whole_row_says(tmp_path):
    study = write_study(tmp_path / "s", [ended(), running(age_s=60)])
    write_curve(study / "trials" / "001", "1,100,50.0,-1.0,2.5,0.25", "2,200,51.5,-0.5,,", half="3,300,5")
    training = only_training(study)
    assert (training.number, training.env_steps, training.share, training.env_steps_per_s) == (1, 200, 0.2, 51.5)
    assert (training.value, training.success_rate) == (2.5, 0.25)  # of the last held-out evaluation
    assert training.age_s == pytest.approx(60, abs=5) and not training.is_silent


def test_the_search_ends_at_as_many_trials_as_its_configurations_have_seeds(tmp_path):
    config = record_of(seeds_per_configuration=3).config
    study = write_study(tmp_path / "s", [ended(), running()], config=config)
    (search,) = Observer(study).look().stages
    assert (search.ended, search.total) == (1, 30)  # of 10 configurations


@pytest.mark.parametrize("content", [None, "", "number,env_st", "number,env_steps,env_steps_per_s\n", "number\n1,10"])
def test_a_trial_that_has_not_written_a_row_yet_is_at_the_start(tmp_path, content):
    study = write_study(tmp_path / "s", [running(age_s=3)])
    if content is not None:
        (study / "trials" / "000").mkdir(parents=True)
        (study / "trials" / "000" / "progress.csv").write_text(content, encoding="utf-8")
    training = only_training(study)
    assert (training.env_steps, training.env_steps_per_s, training.value) == (0, None, None)


@pytest.mark.parametrize("row", ["1,\0\0\0,50.0,-1.0,,", "1"])
def test_a_curve_that_a_power_cut_left_in_pieces_hides_no_other_trial(tmp_path, row):
    study = write_study(tmp_path / "s", [running(age_s=3), running(age_s=3)])
    write_curve(study / "trials" / "000", row)
    write_curve(study / "trials" / "001", "1,100,50.0,-1.0,,")
    assert [training.env_steps for training in Observer(study).look().running] == [0, 100]


def test_a_trial_is_silent_since_it_last_wrote_anything(tmp_path):
    study = write_study(tmp_path / "s", [running(age_s=1000)])
    write_curve(study / "trials" / "000", "1,100,50.0,-1.0,,", age_s=720)
    training = only_training(study)
    assert training.silent_s == pytest.approx(720, abs=5) and training.is_silent
    (study / "trials" / "000" / "train.log").touch()
    assert not only_training(study).is_silent


def test_a_trial_that_goes_on_is_as_old_as_its_lives_together(tmp_path):
    trial, now = running(age_s=60), datetime.now(UTC)
    trial.user_attrs[LIVES] = [life(now - timedelta(hours=5), 100.0), life(now - timedelta(seconds=60))]
    training = only_training(write_study(tmp_path / "s", [trial]))
    assert training.age_s == pytest.approx(160, abs=5) and not training.is_silent


def test_a_search_in_another_time_zone_looks_the_same(tmp_path, zone):
    zone("America/New_York")
    study = write_study(tmp_path / "s", [ended(600.0), running(age_s=60)], budget_hours=1)
    zone("Asia/Tokyo")
    found = Observer(study).look()
    assert found.running[0].age_s == pytest.approx(60, abs=5) and found.idle_s < 5
    assert found.left_s == pytest.approx(3600 - 600, abs=5)


def test_a_later_stage_has_a_study_and_a_folder_of_its_own(tmp_path):
    study = write_study(tmp_path / "s", [ended()] * 2, max_trials=2)
    add_trials(study, "s/confirm", [again(0, ended), again(0, running, age_s=9), again(1, running, age_s=9)])
    write_curve(study / "confirm" / "002", "1,300,50.0,-1.0,,")
    search, confirm = Observer(study).look().stages
    assert (search.name, search.ended, search.total) == ("trials", 2, 2)
    assert (confirm.name, confirm.ended, confirm.total) == ("confirm", 1, 3)
    assert [(training.params["trial"], training.share) for training in confirm.running] == [(0, 0.0), (1, 0.3)]


def test_stages_that_have_not_begun_are_those_that_the_record_plans(tmp_path):
    later = {
        "confirm": {"top_k": 5, "seeds": [1001, 1002, 1003]},
        "test": {"seeds": [2001, 2002], "evaluation_seed": 7},
    }
    both = Observer(write_study(tmp_path / "both", **later)).look()
    assert [(stage.name, stage.total) for stage in both.stages] == [("trials", 10), ("confirm", 15), ("test", 4)]
    assert not both.is_over
    off = Observer(write_study(tmp_path / "off", confirm=None, test=None)).look()
    assert [stage.name for stage in off.stages] == ["trials"]
    assert [stage.name for stage in Observer(write_study(tmp_path / "older")).look().stages] == ["trials"]


@pytest.mark.parametrize(
    ("networks", "total", "confirm", "test"),
    [
        (["small", "medium"], 2, 4, 4),  # two configurations on two seeds
        (["small", "small"], 2, 0, 0),  # nothing to choose
        (["small", "small"], 3, 4, 4),  # one more may come
        (["small"], 9, 6, 4),  # no more than top_k
    ],
)
def test_a_later_stage_plans_no_more_configurations_than_there_can_be(tmp_path, networks, total, confirm, test):
    points = [{"network": network, "ppo.learning_rate": 3e-4} for network in networks]
    later = {"confirm": {"top_k": 3, "seeds": [1, 2]}, "test": {"seeds": [3, 4], "evaluation_seed": 7}}
    study = write_study(tmp_path / "s", [ended(params=point) for point in points], max_trials=total, **later)
    found = {stage.name: stage.total for stage in Observer(study).look().stages}
    assert [found.get(stage, 0) for stage in ("confirm", "test")] == [confirm, test]


@pytest.mark.parametrize(
    ("silent_s", "left_s"),
    [
        ([0.0, 0.0], 2400.0),  # an hour, of which 20 minutes ran
        ([600.0, 0.0], 2400.0),
        ([600.0, 900.0], 3000.0),  # the search died 10 minutes ago
    ],
)
def test_a_killed_search_does_not_spend_its_budget(silent_s, left_s):
    trials = number_trials([running(1200, now=NOW), running(1200, now=NOW)])
    trainings = [Training(number, {}, 1200.0, silent, 1000) for number, silent in enumerate(silent_s)]
    search = Stage("trials", trials, TrialCounts(trials, 0), 9, trainings)
    assert Progress(record_of(budget_hours=1), [search], NOW, NOTHING).left_s == left_s


def test_a_budget_is_shared_by_all_stages_and_never_less_than_spent():
    trials = [[ended(600.0, start=NOW - timedelta(minutes=minutes))] for minutes in (60, 30)]
    stages = [Stage("trials", found, TrialCounts(found, 0), 1, []) for found in trials]
    assert Progress(record_of(budget_hours=0.5), stages, NOW, NOTHING).left_s == 600
    assert Progress(record_of(budget_hours=0.1), stages, NOW, NOTHING).left_s == 0
    assert Progress(record_of(), stages, NOW, NOTHING).left_s is None


def test_looking_changes_no_file_and_cannot(tmp_path):
    study = write_study(tmp_path / "s", [ended(), running(age_s=3)])
    before = content_of(study)
    observer = Observer(study)
    for _ in range(2):
        observer.look()
    assert content_of(study) == before
    database = storage.open_to_read(None, study)
    with pytest.raises(optuna.exceptions.StorageInternalError):
        optuna.load_study(study_name="s", storage=database).set_user_attr("key", 1)


def test_looking_again_sees_what_is_new(tmp_path):
    study = write_study(tmp_path / "s")
    observer = Observer(study)
    assert observer.look().trials == []
    optuna.load_study(study_name="s", storage=f"sqlite:///{study}/study.db").add_trial(ended())
    assert len(observer.look().trials) == 1


def test_names_may_be_unicode_and_hold_what_means_something_in_a_url(tmp_path):
    study = write_study(tmp_path / "Läufe #1%41 [x]", [running(age_s=3)])
    assert Observer(study).look().record.study == "Läufe #1%41 [x]"


def test_a_database_that_stays_locked_is_told_of_and_can_be_read_later(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "LOCKED_S", 0.05)
    study = write_study(tmp_path / "s")
    observer, writer = Observer(study), sqlite3.connect(study / "study.db")
    writer.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StudyError, match=r"s: cannot be read \(database is locked\)"):
        observer.look()
    writer.close()
    assert observer.look().trials == []


def test_of_a_search_that_was_killed_while_it_wrote_what_was_whole_before_is_read(tmp_path):
    study = write_study(tmp_path / "s", [ended(value=5.0)])
    assert subprocess.run([sys.executable, "-c", CUT_SHORT, study / "study.db"]).returncode == 9
    before = content_of(study)
    assert study / "study.db-journal" in before
    assert [trial.value for trial in Observer(study).look().trials] == [5.0]
    assert content_of(study) == before


def no_record(study):
    (study / "study.yaml").unlink()


def other_record(study):
    (study / "study.yaml").write_text("study: s\n", encoding="utf-8")


def no_database(study):
    (study / "study.db").unlink()


def not_a_database(study):
    (study / "study.db").write_text("no database" * 100, encoding="utf-8")


def other_tables(study):
    with sqlite3.connect(study / "study.db") as database:
        database.execute("UPDATE alembic_version SET version_num = 'v9.9.9'")


def other_study(study):
    with sqlite3.connect(study / "study.db") as database:
        database.execute("UPDATE studies SET study_name = 'other'")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (no_record, r"not the directory of a study \(there is no study.yaml\)"),
        (other_record, "is not the record of a study, or of another version"),
        (no_database, "study.db is missing"),
        (not_a_database, "file is not a database"),
        (other_tables, "no longer compatible with the table schema"),
        (other_study, "Record does not exist"),
    ],
)
def test_what_is_no_study_is_told_in_a_line_and_left_alone(tmp_path, spoil, message):
    study = write_study(tmp_path / "s")
    spoil(study)
    before = content_of(study)
    with pytest.raises(StudyError, match=message) as error:
        Observer(study).look()
    assert len(str(error.value).splitlines()) == 1
    assert content_of(study) == before


def test_a_password_that_the_record_leaves_out_must_be_given(tmp_path):
    study = write_study(tmp_path / "s", storage="postgresql://me:***@host/base")
    with pytest.raises(StudyError, match="--storage must give it with the password"):
        Observer(study).look()
    with pytest.raises(StudyError, match="--storage must give it"):  # another one's
        Observer(study, "postgresql://you:secret@host/base").look()


def test_a_study_elsewhere_is_read_with_the_password_given(tmp_path):
    storage = f"sqlite:///file:{tmp_path}/moved.db?uri=true&password=secret"
    study = write_study(tmp_path / "s", [ended()], storage=hide_password(storage))
    assert "***" in (study / "study.yaml").read_text(encoding="utf-8")
    (study / "study.db").rename(tmp_path / "moved.db")
    assert len(Observer(study, storage).look().trials) == 1
