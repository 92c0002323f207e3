"""What a person sees of a chain."""

import io
import os
import time

import pytest
from rich.console import Console

from vbot_train.pipeline.state import ChainState, StepState
from vbot_train.status.__main__ import prepare_look
from vbot_train.study.errors import StudyError

BEST = {
    "stage": "1-hp",
    "trial": 3,
    "how": "confirmed",
    "seeds": 2,
    "success_rate": {"iqm": 0.98, "ci_95": [0.96, 1.0]},
    "time_to_goal_s": {"iqm": 2.5, "ci_95": None},
}


def write_state(directory, **changes):
    steps = [
        StepState(name="1-hp", status="done", hours=0.25, budget_hours=0.3, ended=8, total=8, best=BEST),
        StepState(name="2-compare", status="skipped", note="no time was left"),
        StepState(name="3-final", status="running"),
    ]
    content = {"name": "n", "pipeline": "hp", "command": "the line", "budget_hours": 1.0, "hours_used": 0.5}
    content |= {"hours_left": 0.5, "steps": steps, "settings": {}, "best": BEST, "stage": "3-final"}
    ChainState(**content | changes).write(directory)


def seen(directory):
    console = Console(file=io.StringIO(), width=200)
    console.print(prepare_look(directory, None)())
    return [" ".join(line.split()) for line in console.file.getvalue().splitlines()]


def test_a_chain_is_told_by_its_hours_its_steps_the_best_and_the_line_that_goes_on(tmp_path):
    write_state(tmp_path)
    lines = seen(tmp_path)
    assert lines[0] == "chain n: running, 3-final"
    assert lines[1] == "budget 0.50 h of 1 h used, 0.50 h left"
    assert "1-hp done 0.25 of 0.30 8 of 8 0.98 [0.96, 1] - 2.5 confirmed on 2 seeds" in lines
    assert any(line.startswith("2-compare no time was left") for line in lines)
    assert "best 1-hp, trial 3, confirmed on 2 seeds: success_rate 0.98 [0.96, 1], time_to_goal_s 2.5" in lines
    assert lines[-1] == "to go on the line"


def test_a_chain_that_was_killed_is_said_to_be_silent(tmp_path):
    write_state(tmp_path)
    long_ago = time.time() - 72000
    os.utime(tmp_path / "automl_state.yaml", (long_ago, long_ago))
    assert seen(tmp_path)[0] == "chain n: running, 3-final, silent for 20.0 h: killed?"
    write_state(tmp_path, status="stopped")
    os.utime(tmp_path / "automl_state.yaml", (long_ago, long_ago))
    assert seen(tmp_path)[0] == "chain n: stopped, 3-final"


def test_a_state_that_is_gone_while_it_is_watched_is_an_error_in_a_line(tmp_path):
    write_state(tmp_path)
    look = prepare_look(tmp_path, None)
    (tmp_path / "automl_state.yaml").unlink()
    with pytest.raises(StudyError, match=r"its automl_state.yaml is gone"):
        look()
