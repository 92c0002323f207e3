"""A study is continued only where its trials would compare."""

import copy

import pytest

from vbot_train.search.resume import list_differences, list_option_settings, trains_to_same_result
from vbot_train.study.record import StudyRecord
from vbot_train.training.comparable import result_settings

SIZES, ROLLOUTS = "network.hidden_layer_sizes", "ppo.rollouts"
NETWORKS = {"network=small": {SIZES: [128, 64], ROLLOUTS: 24}, "network=large": {SIZES: [512], ROLLOUTS: 48}}


@pytest.fixture
def record(config):
    """``record(seed=1, ...)``: what a study writes down of itself; dotted keys of its config can be changed."""

    def make(*, space=None, constraints=None, options=None, **changes):
        changed = copy.deepcopy(config)
        for key, value in changes.items():
            *path, last = key.split(".")
            node = changed
            for part in path:
                node = node[part]
            node[last] = value
        space = {"ppo.learning_rate": "interval(0.0001, 0.001)"} if space is None else space
        asked = {"constraints": constraints or {}, "options": options or {"": {}}, "config": changed}
        return StudyRecord("s", "episode_reward_mean", space=space, **asked)

    return make


def test_the_same_line_continues_a_study_also_after_its_record_was_written_and_read(record, tmp_path):
    written = record(space={"network": "choice(small, large)"}, constraints={"mine": "seed == 1"}, options=NETWORKS)
    written.write(tmp_path)
    assert list_differences(StudyRecord.read(tmp_path), written) == []


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        ("seed", 43, "  seed: 42 -> 43"),
        ("init_from", "/outputs/x", "  init_from: None -> /outputs/x"),
        ("evaluation.seed", 7, "  evaluation.seed: 2000003 -> 7"),
        ("ppo.gae_lambda", 0.9, "  ppo.gae_lambda: 0.95 -> 0.9"),
        ("env.episode_length_s", 1.5, "  env.episode_length_s: 10.0 -> 1.5"),
        ("env.spawn.max_radius_m", 6.0, "  env.spawn.max_radius_m: 5.0 -> 6.0"),
        ("network.hidden_layer_sizes", [64], "  network.hidden_layer_sizes: [256, 128, 64] -> [64]"),
        ("search.metric", "success_rate", "  search.metric: episode_reward_mean -> success_rate"),
        ("search.seeds_per_configuration", 3, "  search.seeds_per_configuration: 1 -> 3"),
        ("ppo.new_key", 1, "  ppo.new_key: absent -> 1"),
    ],
)
def test_what_changes_a_result_is_told_then_and_now(record, key, value, line):
    assert list_differences(record(), record(**{key: value})) == [line]


def test_a_study_from_before_robots_could_be_randomized_is_continued_without_randomization(record):
    earlier = record()
    off = earlier.config["env"].pop("randomization")
    del earlier.config["env"]["task"]  # this key is newer still
    earlier.config["env"]["standard_env_steps"] = 1_250_000  # and this one is gone since
    assert list_differences(earlier, record()) == []
    line = "  env.randomization.latency_steps: 0 -> 1"
    assert list_differences(earlier, record(**{"env.randomization": off | {"latency_steps": 1}})) == [line]


def test_a_term_of_the_reward_that_is_gone_is_told(record):
    then, now = record(), record()
    kernel, key = now.config["reward"].pop("approach_ahead"), "reward.approach_ahead"
    assert list_differences(then, now) == [f"  {key}.{name}: {value} -> absent" for name, value in kernel.items()]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("workers", 7),
        ("storage", "postgresql://host/database"),
        ("budget_hours", 12),
        ("study", "another"),
        ("simulation.threads", 3),
        ("simulation.device", "cuda:1"),
        ("training.torch_threads", 3),
        ("search.max_trials", 400),
        ("search.trial_minutes", 30),
        ("search.retries", 3),
        ("search.duplicates", "skip"),
        ("search.enqueue", ["ppo.rollouts=24"]),
        ("search.dry_run", True),
    ],
)
def test_what_changes_no_result_is_free(record, key, value):
    assert list_differences(record(), record(**{key: value})) == []


def test_a_changed_range_a_key_more_and_a_key_less_are_told(record):
    then = record(space={"ppo.learning_rate": "interval(1.0, 2.0)", "ppo.rollouts": "choice(16, 24)"})
    now = record(space={"ppo.learning_rate": "interval(1.0, 3.0)", "ppo.gae_lambda": "choice(0.9, 0.95)"})
    assert list_differences(then, now)[:3] == [
        "  ppo.learning_rate: interval(1.0, 2.0) -> interval(1.0, 3.0)",
        "  ppo.rollouts: choice(16, 24) -> absent",
        "  ppo.gae_lambda: absent -> choice(0.9, 0.95)",
    ]


def test_a_study_whose_record_an_earlier_version_wrote_is_continued(record):
    then = record(space={"ppo.rollouts": "interval(8, 11)", "init_from": "choice(null, outputs/x)"})
    now = record(space={"ppo.rollouts": "range(8, 12)", "init_from": "null, outputs/x"})
    assert list_differences(then, now) == []


def test_a_number_that_was_computed_is_the_one_that_is_written(record):
    then, now = record(**{"ppo.gae_lambda": 0.9 + 0.05}), record(**{"ppo.gae_lambda": 0.95})
    assert list_differences(then, now) == [] and trains_to_same_result(then.config, now.config)
    other = record(**{"ppo.gae_lambda": 0.951})
    assert not trains_to_same_result(then.config, other.config)


def test_a_changed_rule_a_new_and_a_dropped_one_are_told(record):
    then = record(constraints={"a": "seed == 1", "b": "seed == 2", "c": "seed == 3"})
    now = record(constraints={"a": "seed == 1", "b": "seed > 2", "d": "seed == 4"})
    assert list_differences(then, now) == [
        "  search.constraints.b: seed == 2 -> seed > 2",
        "  search.constraints.c: seed == 3 -> absent",
        "  search.constraints.d: absent -> seed == 4",
    ]


def test_another_scheduler_is_told_and_none_is_as_no_scheduler_was_before(record):
    none, halving = {"scheduler.rungs": []}, {"scheduler.rungs": [0.25, 0.5]}
    assert list_differences(record(**none), record(**halving)) == [
        "  scheduler.rungs: [] -> [0.25, 0.5]",
        "  scheduler.reduction_factor: absent -> 3",
    ]
    then = record(**none)
    del then.config["scheduler"]
    assert list_differences(then, record(**none)) == []


def test_the_default_of_a_searched_key_may_change(record):
    assert list_differences(record(), record(**{"ppo.learning_rate": 3e-4})) == []


def test_the_default_of_what_searched_options_bring_may_change_but_not_the_options(record):
    space = {"network": "choice(small, large)"}
    then = record(space=space, options=NETWORKS)
    other_default = {"network.hidden_layer_sizes": [128, 64], "ppo.rollouts": 48}
    assert list_differences(then, record(space=space, options=NETWORKS, **other_default)) == []
    edited = NETWORKS | {"network=small": {SIZES: [32], ROLLOUTS: 24}}
    line = "  network=small: network.hidden_layer_sizes: [128, 64] -> [32]"
    assert list_differences(then, record(space=space, options=edited)) == [line]


def test_a_new_option_is_told_once_by_the_range(record):
    then = record(space={"network": "choice(small, large)"}, options=NETWORKS)
    now = record(
        space={"network": "choice(small, large, deep)"},
        options=NETWORKS | {"network=deep": {"network.hidden_layer_sizes": [256, 256]}},
    )
    assert list_differences(then, now) == ["  network: choice(small, large) -> choice(small, large, deep)"]


def test_options_are_described_by_what_they_do_not_have_in_common_with_the_default(make_space, config):
    space = make_space("network=small,large", "ppo.rollouts=16,24")
    assert list_option_settings(space.list_combinations(), config) == {
        "network=small": {"network.hidden_layer_sizes": [128, 64]},
        "network=large": {"network.hidden_layer_sizes": [512, 256, 128]},
    }


def test_an_edited_option_is_told_even_where_it_is_the_only_one_searched(make_space, record, config):
    space = {"network": "choice(large)"}
    (name, content), *_ = make_space("network=choice(large)").list_combinations()
    then = record(space=space, options=list_option_settings([(name, content)], config))
    edited = copy.deepcopy(content)
    edited["network"]["hidden_layer_sizes"] = [9]
    now = record(space=space, options=list_option_settings([(name, edited)], config))
    assert list_differences(then, now) == ["  network=large: network.hidden_layer_sizes: [512, 256, 128] -> [9]"]
    other_default = {"network.hidden_layer_sizes": [512, 256, 128]}
    same = record(space=space, options=list_option_settings([(name, content)], content), **other_default)
    assert list_differences(then, same) == []


def test_a_key_that_only_some_options_have_sets_them_apart(config):
    with_more = copy.deepcopy(config)
    with_more["ppo"]["more"] = {"y": 2, "x": 1}
    settings = list_option_settings([("a", config), ("b", with_more)], config)
    assert settings == {"a": {"ppo.more.x": None, "ppo.more.y": None}, "b": {"ppo.more.x": 1, "ppo.more.y": 2}}
    assert list(settings["b"]) == ["ppo.more.x", "ppo.more.y"]  # study.yaml reads the same each time


def test_results_depend_on_the_task_the_training_and_the_seeds_alone(config):
    settings = result_settings(config)
    assert {key.split(".")[0] for key in settings} == {
        *("env", "reward", "ppo", "network", "training", "simulation", "seed", "init_from", "evaluation", "search")
    }
    assert [key for key in settings if key.startswith("simulation")] == ["simulation.backend"]
    assert {key for key in settings if key.startswith("search")} == {"search.metric"}
    assert settings["ppo.learning_rate"] == 1e-3


def test_a_study_from_before_there_was_a_choice_of_simulation_is_mujocos(record):
    then = record()
    del then.config["simulation"]["backend"]
    assert list_differences(then, record()) == []
    assert list_differences(then, record(**{"simulation.backend": "warp"})) == ["  simulation.backend: mujoco -> warp"]


def test_a_relative_path_in_an_older_record_is_the_same_as_where_it_leads(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    older, now = config | {"init_from": "run"}, config | {"init_from": str(tmp_path / "run")}
    assert trains_to_same_result(older, now)
    assert not trains_to_same_result(older, config | {"init_from": "other"})


def test_an_older_study_that_swept_relative_paths_is_continued(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    spaces = [{"init_from": f"choice({at}a, {at}b)"} for at in ("", f"{tmp_path}/")]
    older, now = (StudyRecord("s", "episode_reward_mean", space, config={"search": {}}) for space in spaces)
    assert list_differences(older, now) == []
