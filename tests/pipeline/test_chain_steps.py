"""The stages of a chain, and the steps that they become."""

import pytest

from vbot_train.config.composition import ConfigError
from vbot_train.pipeline.schema import Compare, Search, Train
from vbot_train.pipeline.steps import list_steps


def search(**settings):
    return Search(kind="search", search="full", trials=4, share=1, length=1, **settings)


COMPARE = Compare(kind="compare", share=1, length=1)
TRAIN = Train(kind="train")


def test_each_generation_is_a_step_around_the_one_before():
    steps = list_steps(
        {"hp": search(), "reward": search(generations=3, around="hp"), "compare": COMPARE, "final": TRAIN}
    )
    names = ["1-hp", "2-reward-1", "3-reward-2", "4-reward-3", "5-compare", "6-final"]
    assert [step.name for step in steps] == names
    assert [step.around for step in steps] == [None, "hp", "reward-1", "reward-2", None, None]
    assert [step.is_search for step in steps] == [True] * 5 + [False]


def test_a_stage_with_no_generation_is_left_out():
    steps = list_steps({"hp": search(), "reward": search(generations=0), "final": TRAIN})
    assert [step.name for step in steps] == ["1-hp", "2-final"]


def test_around_a_stage_of_several_generations_is_around_the_last():
    steps = list_steps({"reward": search(generations=2), "fine": search(around="reward")})
    assert steps[-1].around == "reward-2"


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ({}, r"pipeline.stages=\{\}: a chain needs a stage"),
        ({"a": search(generations=2), "a-2": TRAIN}, r"pipeline.stages.a-2: the name a-2 is taken"),
        ({"default": search()}, r"pipeline.stages.default: the name default is taken"),
        ({"far": search()}, r"pipeline.stages.far: far is a recipe too"),
        ({"hp": search(around="other")}, r"pipeline.stages.hp.around=other: there is no search of this name"),
        ({"final": TRAIN, "compare": COMPARE}, r"pipeline.stages.compare.kind=compare: there is no search before it"),
    ],
)
def test_a_chain_that_cannot_be_is_refused(stages, message):
    with pytest.raises(ConfigError, match=message):
        list_steps(stages)
