"""A trial's experiment option composes to the trial's configuration, also where the options it came from are not."""

import pytest
import yaml
from omegaconf import OmegaConf

from vbot_train.config.composition import CONF_DIR, compose_config
from vbot_train.config.keys import GROUPS
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
        ("env", "section001", lambda node: node.update(standard_env_steps=123_456)),
    ):
        node = OmegaConf.load(CONF_DIR / group / f"{option}.yaml")
        change(node)
        (folder / group).mkdir()
        OmegaConf.save(node, folder / group / "256.yaml")
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


@pytest.mark.parametrize(
    "fixed",
    [
        ["~reward.approach_ahead"],  # nothing that is set over an option takes a key out of it
        ["env.standard_env_steps=5000"],  # training.env_steps refers to it
        ["env.standard_env_steps=5000", "training.env_steps=1250000"],  # and here does not, although it has the default
    ],
    ids=" ".join,
)
def test_what_was_taken_out_of_an_option_or_refers_to_another_value_is_composed_again(make_space, compose_again, fixed):
    candidate = make_space("ppo.rollouts=16,24", *fixed).compose_candidate({"ppo.rollouts": 16})
    assert groups(compose_again(candidate)) == groups(candidate.config)


def test_a_value_that_follows_another_is_left_to_follow_it(make_space):
    candidate = make_space("ppo.rollouts=16,24", "env.standard_env_steps=5000").compose_candidate({"ppo.rollouts": 16})
    body = yaml.safe_load(write_experiment(candidate))
    assert body["env"] == {"standard_env_steps": 5000} and "training" not in body
    assert {"override /training": "standard"} in body["defaults"]
