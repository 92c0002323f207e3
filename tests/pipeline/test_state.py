"""``automl_state.yaml``: whole, and of this chain."""

import pytest
import yaml

from vbot_train.config.composition import ConfigError
from vbot_train.pipeline.state import STATE_YAML, ChainState, StepState

SETTINGS = {"stages": {"1-hp": {"length": 0.8}}, "config": {"env.task": "navigation"}}


def state(**changes):
    content = {"name": "n", "pipeline": "hp", "command": "line", "budget_hours": 1.0, "settings": SETTINGS}
    return ChainState(**content | {"steps": [StepState(name="1-hp")]} | changes)


def test_a_state_is_read_as_it_was_written_with_what_a_newer_version_added(tmp_path):
    written = state(hours_used=0.25)
    written.write(tmp_path)
    path = tmp_path / STATE_YAML
    path.write_text(path.read_text(encoding="utf-8") + "newer: 1\n", encoding="utf-8")
    found = ChainState.read(tmp_path)
    assert found.hours_used == 0.25 and found.find("1-hp").status == "waiting"
    found.write(tmp_path)
    assert yaml.safe_load(path.read_text(encoding="utf-8"))["newer"] == 1
    assert [each.name for each in tmp_path.iterdir()] == [STATE_YAML]  # no temporary file is left


def test_there_is_no_state_before_a_chain_begins(tmp_path):
    assert ChainState.read(tmp_path) is None


@pytest.mark.parametrize("text", ["", "name: n\n", "name: [n", "- 1\n"])
def test_a_damaged_state_is_refused_in_a_line(tmp_path, text):
    (tmp_path / STATE_YAML).write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=f"name={tmp_path.name}: ") as refused:
        ChainState.read(tmp_path)
    assert "\n" not in str(refused.value)


def test_other_stages_are_refused_with_the_difference():
    state().refuse_other(SETTINGS)
    with pytest.raises(ConfigError, match=r"stages.1-hp.length: 0.8 -> 0.5"):
        state().refuse_other({**SETTINGS, "stages": {"1-hp": {"length": 0.5}}})
