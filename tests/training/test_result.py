"""The result file: what is written is read, and what is damaged is refused."""

import sys
from dataclasses import fields

import pytest
import yaml

from vbot_train.training.files import read_yaml
from vbot_train.training.result import (
    FILE_NAME,
    ResultError,
    TrialResult,
)


def test_what_is_saved_is_loaded(tmp_path):
    result = TrialResult(status="completed", trial=3, seed=1, metrics={"success_rate": 0.5, "time_to_goal_s": None})
    result.save(tmp_path)
    assert TrialResult.load(tmp_path) == result
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


def test_only_a_completed_trial_has_an_objective():
    metrics = {"success_rate": 0.5, "time_to_goal_s": None, "fall_rate": float("nan")}
    completed = TrialResult(status="completed", trial=0, seed=1, metrics=metrics)
    diverged = TrialResult(status="diverged", trial=0, seed=1, metrics=metrics)
    assert completed.get_objective("success_rate") == 0.5
    assert completed.get_objective("time_to_goal_s") is None
    assert completed.get_objective("fall_rate") is None
    assert diverged.get_objective("success_rate") is None


@pytest.mark.parametrize("keep", [0, 20, 200])
def test_a_truncated_file_is_refused_by_name(tmp_path, keep):
    TrialResult(status="completed", trial=3, seed=1).save(tmp_path)
    path = tmp_path / FILE_NAME
    path.write_text(path.read_text(encoding="utf-8")[:keep], encoding="utf-8")
    with pytest.raises(ResultError, match=FILE_NAME):
        TrialResult.load(tmp_path)


REFUSED = [{"schema_version": 2}, {"schema_version": "2.1"}, {"status": "great"}, {"seed": None}, {"seeds": 3}]
REFUSED += [{"metrics": None}, {"metrics": {"success_rate": "high"}}, {"wall_time_s": "long"}]


@pytest.mark.parametrize("change", REFUSED)
def test_a_file_of_another_schema_or_with_a_value_that_cannot_be_is_refused_by_name(tmp_path, change):
    with pytest.raises(ResultError, match=FILE_NAME):
        TrialResult.load(rewritten(tmp_path, change))


def test_unknown_fields_are_kept_and_another_minor_version_is_read(tmp_path):
    newer = {"schema_version": "1.1", "lives": [{"host": "a"}]}
    again = tmp_path / "again"
    again.mkdir()
    TrialResult.load(rewritten(tmp_path, newer)).save(again)
    assert TrialResult.load(again) == TrialResult.load(tmp_path)
    assert yaml.safe_load((again / FILE_NAME).read_text(encoding="utf-8")).items() >= newer.items()


@pytest.mark.parametrize("key", [field.name for field in fields(TrialResult) if field.name != "unknown"])
def test_a_missing_field_has_its_default_unless_nothing_can_be_said_without_it(tmp_path, key):
    rewritten(tmp_path, {}, without=key)
    if key in ("status", "trial", "seed"):
        with pytest.raises(ResultError, match=f"{FILE_NAME} is damaged: {key}=missing"):
            TrialResult.load(tmp_path)
    else:
        found = TrialResult.load(tmp_path)
        assert getattr(found, key) == getattr(TrialResult(status="completed", trial=3, seed=1), key)


def rewritten(directory, change, without=None):
    """A directory with a result in which keys are changed, and one is taken away."""
    TrialResult(status="completed", trial=3, seed=1, seeds=[1], metrics={"success_rate": 0.5}).save(directory)
    path = directory / FILE_NAME
    content = yaml.safe_load(path.read_text(encoding="utf-8")) | change
    content.pop(without, None)
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return directory


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ResultError, match="cannot be read"):
        TrialResult.load(tmp_path)


LINK = pytest.param("link to nowhere", marks=pytest.mark.skipif(sys.platform == "win32", reason="needs a privilege"))


@pytest.mark.parametrize("obstacle", ["file", "folder", LINK])
def test_what_stands_in_the_way_stays_and_costs_no_result(tmp_path, obstacle, caplog):
    path = tmp_path / FILE_NAME
    if obstacle == "file":
        path.write_text("mine", encoding="utf-8")
    elif obstacle == "folder":
        path.mkdir()
    else:
        path.symlink_to("nowhere")
    before = path.lstat()
    result = TrialResult(status="completed", trial=3, seed=1)
    assert [result.save(tmp_path).name for _ in range(2)] == ["result_2.yaml", "result_3.yaml"]
    assert path.lstat() == before
    assert read_yaml(tmp_path / "result_2.yaml")["trial"] == 3
    assert "result_2.yaml" in caplog.text


def test_a_result_needs_no_hard_links(tmp_path, monkeypatch):
    def unknown(*arguments, **options):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.link", unknown)
    TrialResult(status="completed", trial=3, seed=1).save(tmp_path)
    assert TrialResult.load(tmp_path).trial == 3


def test_a_signal_while_the_result_is_written_costs_no_result(tmp_path, monkeypatch):
    signals = [KeyboardInterrupt()]

    def interrupted(descriptor):
        if signals:
            raise signals.pop()

    monkeypatch.setattr("os.fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        TrialResult(status="completed", trial=3, seed=1).save(tmp_path)
    assert TrialResult.load(tmp_path).status == "completed"
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]
