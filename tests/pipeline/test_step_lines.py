"""What the chain chooses for a step, and what it keeps of that when the step goes on."""

from dataclasses import replace

import pytest

from vbot_train.pipeline.candidates import keep_default, write_default
from vbot_train.pipeline.lines import CANDIDATES
from vbot_train.pipeline.plan import Need
from vbot_train.pipeline.state import StepState
from vbot_train.pipeline.step_lines import StepLines
from vbot_train.pipeline.studies import Studies
from vbot_train.study import plan as stages
from vbot_train.study.plan import Confirm, Plan

PLAN = Plan(Confirm(top_k=3, seeds=[1, 2, 3]), stages.Test(seeds=[2001, 2002], evaluation_seed=7))


@pytest.fixture
def comparison(make_chain):
    """A chain whose first search has found another learning rate: its comparison's lines, step, state and need."""
    chain = make_chain("pipeline=hp")
    folder = chain.directory / CANDIDATES / "experiment"
    folder.mkdir(parents=True)
    (folder / "hp.yaml").write_text("# @package _global_\nppo:\n  learning_rate: 0.002\n", encoding="utf-8")
    step = chain.find("compare")
    return StepLines(chain, None, Studies(chain)), step, StepState(name=step.name), Need(step, 100.0, 2, 3, stages=PLAN)


def read(line, key):
    return next(each.partition("=")[2] for each in line if each.startswith(f"{key}="))


def test_a_comparison_that_goes_on_has_the_same_candidates_and_test_seeds_whatever_time_is_left(comparison):
    lines, step, state, need = comparison
    line = lines.build(step, state, need, 7200.0)
    assert (read(line, "experiment"), read(line, "search.test.seeds")) == ("default,hp", "12")
    again = lines.build(step, state, replace(need, training_s=1e4), 60.0)
    assert (read(again, "experiment"), read(again, "search.test.seeds")) == ("default,hp", "12")
    assert float(read(again, "budget_hours")) < float(read(line, "budget_hours"))


def test_a_default_that_stays_is_what_the_next_step_trains(comparison):
    lines, step, *_ = comparison
    chain = lines._chain
    write_default(chain)
    keep_default(chain, step)
    assert lines.find_base(chain.find("final")) == "compare"
    folder = chain.directory / CANDIDATES / "experiment"
    assert (folder / "compare.yaml").read_text(encoding="utf-8") == (folder / "default.yaml").read_text(
        encoding="utf-8"
    )
