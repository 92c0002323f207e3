"""A trial's experiment option composes to the trial's configuration, also where the options it came from are not."""

import pytest
import yaml
from omegaconf import OmegaConf

from vbot_train.config.composition import CONF_DIR, compose_config
from vbot_train.config.keys import GROUPS
from vbot_train.init import copy_conf
from vbot_train.search.execution.trial_record import write_experiment

LOUD = """# @package _global_
network:
  hidden_layer_sizes: [8]
  note: an option may bring keys that no other has
ppo:
  rollouts: 12
"""


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A user's folder: a network, one that sets ppo too, a reward without a term, and another platform."""
    folder = tmp_path_factory.mktemp("own")
    for group, name, text in (("network", "64x64", "hidden_layer_sizes: [64, 64]\n"), ("network", "a-b.c", LOUD)):
        (folder / group).mkdir(exist_ok=True)
        (folder / group / f"{name}.yaml").write_text(text, encoding="utf-8")
    for group, option, change in (
        ("reward", "default", lambda node: node.pop("approach_ahead")),
        ("env", "section001", lambda node: node.training.update(env_steps=123_456)),
    ):
        node = OmegaConf.load(CONF_DIR / group / f"{option}.yaml")
        change(node)
        (folder / group).mkdir()
        header = "# @package _global_\n" if group == "env" else ""
        (folder / group / "256.yaml").write_text(header + OmegaConf.to_yaml(node), encoding="utf-8")
    return folder


@pytest.fixture
def compose_again(tmp_path):
    """Compose a candidate's experiment option in another place, where there are no options but those of conf/."""

    def compose(candidate):
        (tmp_path / "experiment").mkdir(exist_ok=True)
        text = "# @package _global_\n" + write_experiment(candidate)
        (tmp_path / "experiment" / "best.yaml").write_text(text, encoding="utf-8")
        return compose_config([f"hydra.searchpath=[file://{tmp_path}]", "experiment=best"])

    return compose


def groups(config):
    return {key: value for key, value in config.items() if key in GROUPS}


@pytest.mark.parametrize("network", ["64x64", "a-b.c", "small"])
def test_the_options_of_a_users_folder_are_written_out(make_space, own, compose_again, network):
    rates = "ppo.learning_rate=1e-3,3e-4"
    space = make_space("env='256'", "reward='256'", f"network={network},large", rates, config_dir=own)
    candidate = space.compose_candidate({"network": network, "ppo.learning_rate": 3e-4}, seed=7)
    again = compose_again(candidate)
    assert groups(again) == groups(candidate.config) and again["seed"] == 7
    assert "approach_ahead" not in again["reward"] and again["training"]["env_steps"] == 123_456


def test_everything_is_written_out_where_a_users_copy_of_conf_was_composed(make_space, compose_again, tmp_path):
    copy_conf(tmp_path / "copy")
    path = tmp_path / "copy" / "network" / "small.yaml"
    path.write_text("hidden_layer_sizes: [7]\n", encoding="utf-8")
    space = make_space("network=small", "ppo.rollouts=16,24", config_path=tmp_path / "copy")
    candidate = space.compose_candidate({"ppo.rollouts": 24}, seed=7)
    assert candidate.config["network"]["hidden_layer_sizes"] == [7]
    again = compose_again(candidate)
    assert groups(again) == groups(candidate.config) and again["evaluation"] == candidate.config["evaluation"]


def test_what_was_taken_out_of_an_option_is_composed_again(make_space, compose_again):
    fixed = "~reward.approach_ahead"  # nothing that is set over an option takes a key out of it
    candidate = make_space("ppo.rollouts=16,24", fixed).compose_candidate({"ppo.rollouts": 16})
    assert groups(compose_again(candidate)) == groups(candidate.config)


def test_a_value_that_an_interpolation_gave_is_written_out(make_space, compose_again):
    candidate = make_space("ppo.rollouts=16,24", "ppo.mini_batches=${ppo.rollouts}").compose_candidate(
        {"ppo.rollouts": 16}
    )
    assert yaml.safe_load(write_experiment(candidate))["ppo"] == {"rollouts": 16, "mini_batches": 16}
    assert groups(compose_again(candidate)) == groups(candidate.config)
