"""What is checked before a chain trains anything."""

from types import SimpleNamespace

import pytest
from hydra.errors import CompactHydraException

from vbot_train.config.composition import CONF_DIR, ConfigError
from vbot_train.pipeline.begin import check_searches, compose_steps, open_state
from vbot_train.pipeline.state import Speed

PIPELINES = sorted(path.stem for path in (CONF_DIR / "pipeline").glob("*.yaml"))


def begin(chain):
    """Write the state of a chain whose first step runs."""
    state = open_state(chain, compose_steps(chain), "line")
    state.steps[0].status = "running"
    chain.directory.mkdir(parents=True)
    state.write(chain.directory)
    return state


@pytest.mark.parametrize("option", PIPELINES)
@pytest.mark.parametrize("env", ["section001", "section001_robust"])
def test_every_line_of_every_pipeline_composes(make_chain, option, env):
    chain = make_chain(f"pipeline={option}", f"env={env}")
    planned = compose_steps(chain)
    assert [each.step.name for each in planned] == [step.name for step in chain.steps]
    assert all(each.composed.ranges for each in planned if each.step.stage.kind == "search")


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("budget_hours=0", r"budget_hours=0: must be more than 0"),
        ("budget_hours=-1", r"budget_hours=-1: "),
        ("hp_trials=0", r"hp_trials=0: must be at least 1"),
        ("reward_generations=-1", r"reward_generations=-1: must be at least 0"),
        ("+pipeline.stages.a={kind: sing}", r"pipeline.stages.a.kind=sing: choose one of search, compare, train"),
        ("+pipeline.stages.A={kind: train}", r"pipeline.stages.A: its name must be of lower-case letters"),
        ("pipeline.stages.hp.trials=0", r"pipeline.stages.hp.trials=0: must be at least 1"),
        ("+pipeline.stages.hp.trails=1", r"stages.hp.trails=1: no such key; did you mean pipeline.stages.hp.trials"),
        ("~pipeline.stages.hp", r"pipeline.stages.fine-tune.around=hp: there is no search of this name"),
        ("search=quick", r"search=quick: each stage has its own; pipeline= names a chain of searches"),
        ("search.max_trials=3", r"search.max_trials=3: each stage has its own; hp_trials= and reward_trials= set it"),
        ("study=x", r"study=x: each stage has its own; name= names the chain"),
        ("ppo.learning_rate=-1", r"ppo.learning_rate=-1: must be more than 0"),
    ],
)
def test_what_a_chain_cannot_run_with_is_refused_in_a_line(make_chain, typed, message):
    with pytest.raises(ConfigError, match=message):
        make_chain(typed)


def test_a_stage_with_a_search_or_a_key_that_does_not_exist_is_refused(make_chain):
    chain = make_chain("+pipeline.stages.a={kind: search, search: none-such, trials: 1, share: 1, length: 1}")
    with pytest.raises(CompactHydraException, match="none-such"):
        compose_steps(chain)


def test_a_line_that_its_search_refuses_ends_the_chain_before_it_begins(make_chain):
    chain = make_chain("pipeline=hp")
    commands = SimpleNamespace(check=lambda line: "ppo.rollouts=64: too many" if "search=fine_tune" in line else None)
    with pytest.raises(ConfigError, match=r"2-fine-tune: ppo\.rollouts=64: too many"):
        check_searches(chain, commands)


def test_a_folder_that_holds_something_else_is_left_alone(make_chain):
    chain = make_chain("pipeline=rings")
    chain.directory.mkdir(parents=True)
    (chain.directory / "study.yaml").write_text("mine", encoding="utf-8")
    with pytest.raises(ConfigError, match="holds something else"):
        open_state(chain, compose_steps(chain), "line")
    assert (chain.directory / "study.yaml").read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize(
    ("other", "difference"),
    [
        (["ppo.gae_lambda=0.9"], "config.ppo.gae_lambda: 0.95 -> 0.9"),
        (["hp_trials=9"], "stages.1-hp.trials: 8 -> 9"),
        (["~pipeline.stages.fine-tune"], "stages.2-fine-tune.kind: search -> absent"),
    ],
)
def test_a_chain_goes_on_with_another_budget_but_not_with_other_stages_or_settings(make_chain, other, difference):
    chain = make_chain("pipeline=hp", "budget_hours=1")
    begin(chain)
    more = make_chain("pipeline=hp", "budget_hours=2", "workers=1")
    assert open_state(more, compose_steps(more), "line").budget_hours == 2
    changed = make_chain(*{"pipeline=hp": None, **dict.fromkeys(other)})
    with pytest.raises(ConfigError) as refused:
        open_state(changed, compose_steps(changed), "line")
    assert difference in str(refused.value)


def test_ranges_that_were_edited_are_refused_with_the_difference(make_chain):
    chain = make_chain("pipeline=hp")
    planned = compose_steps(chain)
    state = begin(chain).model_copy(deep=True)
    state.settings["stages"]["1-hp"]["ranges"]["ppo.learning_rate"] = "interval(1,2)"
    state.write(chain.directory)
    with pytest.raises(ConfigError, match=r"ranges.ppo.learning_rate: interval\(1,2\) -> tag\(log"):
        open_state(chain, planned, "line")


def test_before_its_first_step_a_chain_may_change_and_keeps_the_speed_that_it_has_measured(make_chain):
    chain = make_chain("pipeline=reward", "reward_generations=5")
    state = open_state(chain, compose_steps(chain), "line")
    state.speed = Speed(workers=2, fixed_s=1, env_steps_per_s=2, evaluation_env_steps_per_s=4)
    chain.directory.mkdir(parents=True)
    state.write(chain.directory)
    fewer = make_chain("pipeline=reward", "reward_generations=2")
    found = open_state(fewer, compose_steps(fewer), "line")
    assert len(found.steps) == 4 and found.speed == state.speed
    other = make_chain("pipeline=reward", "env=section001_far")
    assert open_state(other, compose_steps(other), "line").speed is None
