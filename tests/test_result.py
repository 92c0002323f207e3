"""The result file: what is written is read, and what is damaged is refused."""

import pytest
import yaml

from vbot_train.result import FILE_NAME, ResultError, TrialResult


def test_what_is_saved_is_loaded(tmp_path):
    result = TrialResult(status="completed", trial=3, seed=1, metrics={"success_rate": 0.5, "time_to_goal_s": None})
    result.save(tmp_path)
    assert TrialResult.load(tmp_path) == result
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


def test_only_a_completed_trial_has_an_objective():
    metrics = {"success_rate": 0.5, "time_to_goal_s": None, "fall_rate": float("nan")}
    completed = TrialResult(status="completed", trial=0, seed=1, metrics=metrics)
    diverged = TrialResult(status="diverged", trial=0, seed=1, metrics=metrics)
    assert completed.objective("success_rate") == 0.5
    assert completed.objective("time_to_goal_s") is None
    assert completed.objective("fall_rate") is None
    assert diverged.objective("success_rate") is None


@pytest.mark.parametrize("keep", [0, 20, 200])
def test_a_truncated_file_is_refused_by_name(tmp_path, keep):
    TrialResult(status="completed", trial=3, seed=1).save(tmp_path)
    path = tmp_path / FILE_NAME
    path.write_text(path.read_text(encoding="utf-8")[:keep], encoding="utf-8")
    with pytest.raises(ResultError, match=FILE_NAME):
        TrialResult.load(tmp_path)


@pytest.mark.parametrize("change", [{"schema_version": 2}, {"status": "great"}, {"extra": 1}])
def test_a_file_of_another_schema_is_refused(tmp_path, change):
    TrialResult(status="completed", trial=3, seed=1).save(tmp_path)
    path = tmp_path / FILE_NAME
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text(encoding="utf-8")) | change), encoding="utf-8")
    with pytest.raises(ResultError):
        TrialResult.load(tmp_path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ResultError, match="cannot be read"):
        TrialResult.load(tmp_path)
