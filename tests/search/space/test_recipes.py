"""Recipes of the config group ``experiment`` are compared like any other hyperparameter, where they can be."""

import pytest

from vbot_train.config.composition import ConfigError
from vbot_train.search.space.space import OutsideError

HEADER = "# @package _global_\n"


@pytest.fixture
def own(tmp_path):
    """Write recipes into a folder of one's own, as text by name."""

    def write(**recipes):
        (tmp_path / "experiment").mkdir()
        for name, text in recipes.items():
            (tmp_path / "experiment" / f"{name}.yaml").write_text(HEADER + text, encoding="utf-8")
        return tmp_path

    return write


def test_each_recipe_is_a_point_with_everything_that_it_sets(make_space, own):
    folder = own(wide="defaults: [{override /network: large}]\n", slow="ppo: {learning_rate: 1e-4}\n")
    space = make_space("experiment=wide,slow", "ppo.rollouts=16", config_dir=folder)
    wide, slow = (space.compose_candidate(cell) for cell in space.list_cells())
    assert [each.config["ppo"]["learning_rate"] for each in (wide, slow)] == [1e-3, 1e-4]
    assert [each.config["network"]["hidden_layer_sizes"] for each in (wide, slow)] == [[512, 256, 128], [256, 128, 64]]
    assert [each.config["ppo"]["rollouts"] for each in (wide, slow)] == [16, 16]


def test_recipes_that_differ_in_the_task_are_refused(make_space, own):
    folder = own(near="seed: 1\n", long="training: {env_steps: 9_000_000}\n")
    with pytest.raises(ConfigError, match=r"experiment=near and experiment=long: differ in training.env_steps: "):
        make_space("experiment=near,long", config_dir=folder)


def test_recipes_that_differ_in_the_reward_are_ranked_by_another_metric_only(make_space, own):
    folder = own(some="seed: 1\n", more="reward: {stopping: {weight: 9.0}}\n")
    with pytest.raises(ConfigError, match=r"reward.stopping.weight: 2.0 -> 9.0, so search.metric=episode_reward_mean"):
        make_space("experiment=some,more", config_dir=folder)
    make_space("experiment=some,more", "search.metric=success_rate", config_dir=folder)


def test_the_recipe_that_composes_a_configuration_is_found_whatever_its_name(make_space, own):
    folder = own(slow="ppo: {learning_rate: 1e-4}\n", same="ppo: {learning_rate: 1e-3}\ntraining: {torch_threads: 1}\n")
    space = make_space("experiment=slow,same", config_dir=folder)
    default = space.compose_default()
    assert space.point(default.config, default.choices) == {"experiment": "same"}
    other = make_space("experiment=slow,same", "network=large", config_dir=folder)
    with pytest.raises(OutsideError):
        other.point(default.config, default.choices)
