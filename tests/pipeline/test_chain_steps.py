"""The stages of a chain, and the steps that they become."""

import pytest

from vbot_train.config.composition import ConfigError
from vbot_train.pipeline.schema import Compare, Search, Train
from vbot_train.pipeline.steps import list_steps


def search(name, **settings):
    return Search(kind="search", name=name, search="full", trials=4, share=1, length=1, **settings)


def compare(name="compare"):
    return Compare(kind="compare", name=name, share=1, length=1)


def train(name="final"):
    return Train(kind="train", name=name)


def test_each_generation_is_a_step_around_the_one_before():
    steps = list_steps([search("hp"), search("reward", generations=3, around="hp"), compare(), train()])
    names = ["1-hp", "2-reward-1", "3-reward-2", "4-reward-3", "5-compare", "6-final"]
    assert [step.name for step in steps] == names
    assert [step.around for step in steps] == [None, "hp", "reward-1", "reward-2", None, None]
    assert [step.is_search for step in steps] == [True] * 5 + [False]


def test_a_stage_with_no_generation_is_left_out():
    steps = list_steps([search("hp"), search("reward", generations=0), train()])
    assert [step.name for step in steps] == ["1-hp", "2-final"]


def test_around_a_stage_of_several_generations_is_around_the_last():
    steps = list_steps([search("reward", generations=2), search("fine", around="reward")])
    assert steps[-1].around == "reward-2"


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ([], r"pipeline.stages=\[\]: a chain needs a stage"),
        ([search("hp"), train("hp")], r"pipeline.stages\[1\].name=hp: is taken"),
        ([search("default")], r"pipeline.stages\[0\].name=default: is taken"),
        ([search("far")], r"pipeline.stages\[0\].name=far: is a recipe of conf/experiment/"),
        ([search("hp", around="other")], r"pipeline.stages\[0\].around=other: there is no search of this name"),
        ([train(), compare()], r"pipeline.stages\[1\].kind=compare: there is no search before it"),
    ],
)
def test_a_chain_that_cannot_be_is_refused(stages, message):
    with pytest.raises(ConfigError, match=message):
        list_steps(stages)
