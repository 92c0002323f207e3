"""Rules are expressions over config keys, and nothing else."""

import pytest

from vbot_train.config.composition import ConfigError
from vbot_train.search.space.constraints import Rule, compile_rules, find_broken_rules

CONFIG = {
    "ppo": {"learning_rate": 1e-3, "learning_epochs": 10, "rollouts": 24, "mini_batches": 24},
    "network": {"hidden_layer_sizes": [256, 128]},
    "training": {"num_envs": 2},
    "seed": 42,
}
CHOICES = {"network": "large", "ppo": "default"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ppo.learning_rate > 5e-4 and ppo.learning_epochs > 8", True),
        ("ppo.learning_rate > 5e-4 and ppo.learning_epochs > 10", False),
        ("network == 'large'", True),
        ("network in ('small', 'medium')", False),
        ("network not in ['small'] or seed == 0", True),
        ("not seed == 42", False),
        ("1e-4 < ppo.learning_rate <= 1e-3", True),
        ("ppo.rollouts * training.num_envs / 4 + 1 == 13", True),  # 24 * 2 / 4 + 1
        ("ppo.rollouts ** 2 == 576", True),
        ("256 in network.hidden_layer_sizes", True),
    ],
)
def test_rules_are_evaluated(text, expected):
    assert Rule("mine", text).holds(CONFIG, CHOICES) is expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("__import__('os').system('x')", "not allowed"),
        ("ppo.learning_rate >", "not an expression"),
        ("", "not an expression"),
        ("(lambda: True)()", "not allowed"),
        ("[x for x in [1]] == [1]", "not allowed"),
        ("ppo['rollouts'] > 1", "not allowed"),
        ("f'{seed}' == '42'", "not allowed"),
        ("seed := 1", "not an expression"),
        ("seed << 3 == 8", "not allowed"),
        (3, "must be a string"),
        ("1 == 1 and " * 100 + "True", "must be a string of at most"),
        ("(" * 400, "not an expression"),
        ("seed ==\n    1 ==", "seed == 1 ==: not an expression"),
    ],
)
def test_anything_but_the_grammar_is_refused_when_compiled(text, reason):
    with pytest.raises(ConfigError, match=reason) as error:
        Rule("mine", text)
    assert "search.constraints.mine=" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("ppo.no_such_key > 1", "no such key ppo.no_such_key"),
        ("nothing > 1", "no such key nothing"),
        ("9**9**9**9 > 1", "cannot be evaluated"),
        ("ppo.learning_rate > 'a'", "cannot be evaluated"),
        ("'%999999999d' % 1 == ''", "'%999999999d' is not a number"),
        ("'a' * 999999999 == ''", "'a' is not a number"),
        ("1 / (seed - 42) > 1", "cannot be evaluated"),
        ("ppo.rollouts", "must be true or false, is 24"),
        ("ppo.learning_rate.__class__ == 1", "no such key"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(text, reason):
    with pytest.raises(ConfigError, match=reason):
        Rule("mine", text).holds(CONFIG, CHOICES)


def test_a_rule_of_null_is_off_and_the_name_of_a_rule_is_a_string():
    assert [rule.name for rule in compile_rules({"off": None, "on": "seed == 1"})] == ["mini_batches_too_small", "on"]
    with pytest.raises(ConfigError, match="must be a string"):
        compile_rules({1: "seed == 1"})


def test_all_broken_rules_are_named_and_mini_batches_always_have_two_samples():
    rules = compile_rules({"first": "seed == 42", "second": "seed == 1", "third": "seed > 1"})
    assert find_broken_rules(rules, CONFIG, CHOICES) == ["first", "third"]  # 24 mini-batches of 24 x 2 = 48 samples
    crowded = CONFIG | {"ppo": CONFIG["ppo"] | {"mini_batches": 25}}
    assert find_broken_rules(compile_rules({}), crowded, CHOICES) == ["mini_batches_too_small"]
    assert find_broken_rules(compile_rules({}), CONFIG, CHOICES) == []
