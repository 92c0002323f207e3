"""The record of a study, in the versions that wrote one."""

import pytest
import yaml

from vbot_train.study import plan
from vbot_train.study.errors import StudyError
from vbot_train.study.loading import load_study
from vbot_train.study.record import RECORD_KEYS, StudyRecord

WRITTEN = [
    *("study", "metric", "space", "fixed", "options", "constraints", "feasible_share", "max_trials", "confirm", "test"),
    *("default", "sampler", "groups", "config", "storage", "command", "time", "revision", "versions", "hardware"),
]
FIRST = {key: {} for key in RECORD_KEYS} | {"study": "s", "metric": "fall_rate", "storage": None, "revision": "abc"}


def write(directory, content):
    (directory / "study.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")


def test_a_record_is_written_in_the_order_of_its_questions_and_read_back(tmp_path):
    test = plan.Test(seeds=[3], evaluation_seed=4)
    record = StudyRecord("s", "fall_rate", space={"seed": "choice(1, 2)"}, test=test)
    record.write(tmp_path)
    content = yaml.safe_load((tmp_path / "study.yaml").read_text(encoding="utf-8"))
    assert list(content) == WRITTEN
    assert (content["confirm"], content["test"]) == (None, {"seeds": [3], "evaluation_seed": 4})
    assert StudyRecord.read(tmp_path) == record
    assert StudyRecord.read(tmp_path / "elsewhere") is None


def test_what_an_older_version_did_not_write_has_its_default(tmp_path):
    write(tmp_path, FIRST)
    record = StudyRecord.read(tmp_path)
    assert (record.confirm, record.test, record.groups, record.resumed) == (None, None, {}, [])
    assert (record.retries, record.seeds_per_configuration, record.budget_hours) == (1, 1, None)


def test_what_a_newer_version_wrote_beside_it_is_kept(tmp_path):
    write(tmp_path, FIRST | {"newer": {"x": 1}, "unknown": 2})
    StudyRecord.read(tmp_path).write(tmp_path)
    content = yaml.safe_load((tmp_path / "study.yaml").read_text(encoding="utf-8"))
    assert (content["newer"], content["unknown"]) == ({"x": 1}, 2)


@pytest.mark.parametrize("key", ["metric", "study"])
def test_a_record_says_at_least_what_was_searched_by_what(key):
    with pytest.raises(KeyError, match=key):
        StudyRecord.parse({name: "x" for name in ("metric", "study") if name != key})


@pytest.mark.parametrize("stage", [{"confirm": {"top_k": 2}}, {"test": 5}])
def test_a_stage_that_cannot_be_read_is_told_in_a_line(tmp_path, stage):
    write(tmp_path, FIRST | stage)
    for read in (StudyRecord.read, load_study):
        with pytest.raises(StudyError) as error:
            read(tmp_path)
        assert tmp_path.name in str(error.value) and len(str(error.value).splitlines()) == 1


def test_a_config_of_another_version_is_read_where_it_says_what_is_asked(tmp_path):
    config = {"training": {"env_steps": 1000, "newer": 1}, "search": {"retries": 3}, "older": {}}
    sampler = {"_target_": "optuna.samplers.TPESampler", "gamma": {"_target_": "x"}}
    record = StudyRecord("s", "fall_rate", config=config, sampler=sampler)
    assert (record.settings.training.env_steps, record.settings.training.evaluations) == (1000, None)
    assert (record.retries, record.settings.search.enqueue) == (3, [])
    assert record.sampler_settings.n_startup_trials == 10 and record.sampler_settings.target.endswith("TPESampler")
