"""The schema: the same keys as ``conf/``, what each is for a search, and what mypy sees of it."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from vbot_train.config.composition import CONF_DIR, ConfigError, compose_config
from vbot_train.config.key_types import Bounds, Role
from vbot_train.config.keys import (
    GROUPS,
    HARDWARE_KEYS,
    RESULT_KEYS,
    SEARCHABLE,
    THREAD_KEYS,
    find_bounds,
    list_keys,
)
from vbot_train.config.recorded import validate_recorded
from vbot_train.config.schema import Config
from vbot_train.config.validation import compose_validated

ROOT = Path(__file__).parents[2]
OPTIONS = [
    f"{path.parent.name}={path.stem}" for path in sorted(CONF_DIR.glob("*/*.yaml")) if path.parent.name != "pipeline"
]


def list_leaves(node, prefix=""):
    """The dotted keys of nested mappings."""
    for name, value in node.items():
        yield from list_leaves(value, f"{prefix}{name}.") if isinstance(value, dict) and value else [f"{prefix}{name}"]


def test_every_key_of_the_schema_stands_in_an_option_that_documents_it():
    composed = {key for option in OPTIONS for key in list_leaves(compose_config([option]))}
    leaves = {name for name, key in list_keys().items() if not key.models}
    assert leaves - composed == set()


def test_the_lists_of_keys_follow_from_the_schema():
    assert GROUPS == ("env", "reward", "ppo", "network", "training", "simulation")
    assert (*GROUPS, "seed", "init_from", "evaluation", "search.metric") == RESULT_KEYS
    assert SEARCHABLE == ("reward", "ppo", "network", "seed", "init_from")
    assert THREAD_KEYS == ("simulation.threads", "training.torch_threads")
    assert set(HARDWARE_KEYS) == {*THREAD_KEYS, "simulation.device"}


def test_a_key_has_the_role_of_its_group_unless_it_has_one_of_its_own():
    keys = list_keys()
    assert keys["ppo.rollouts"].role == keys["reward.approach.weight"].role == Role.SEARCHABLE
    assert keys["training.env_steps"].role == Role.RESULT
    assert keys["training.torch_threads"].role == Role.HARDWARE
    assert keys["search.max_trials"].role is None


@pytest.mark.parametrize(
    ("key", "bounds"),
    [
        ("ppo.discount_factor", Bounds(0, 1)),
        ("simulation.threads", Bounds(1, 1024, is_whole=True)),  # beside null
        ("reward.approach.max_m_s", Bounds(-1e9)),
        ("network.hidden_layer_sizes", None),
        ("no.such_key", None),
    ],
)
def test_the_bounds_of_a_key_are_found_by_its_name(key, bounds):
    assert find_bounds(key) == bounds


def test_every_number_of_ppo_has_bounds():
    keys = [key for name, key in list_keys().items() if name.startswith("ppo.")]
    without = {key.name for key in keys if key.bounds is None}
    assert without == {"ppo.learning_rate_schedule", "ppo.mixed_precision"}  # a choice and a flag


def test_a_config_cannot_be_changed():
    config = compose_validated()
    with pytest.raises(ValidationError, match="frozen"):
        config.ppo.learning_rate = 1.0


@pytest.mark.parametrize(
    ("evaluation_episodes", "selection_episodes", "expected"),
    [
        (512, 32, 128),
        (1024, 32, 256),
        (64, 32, 32),  # no fewer than select the checkpoint
        (16, 32, 16),
    ],
)
def test_a_last_checkpoint_gets_a_quarter_of_the_episodes(evaluation_episodes, selection_episodes, expected):
    keys = {"evaluation_episodes": evaluation_episodes, "selection_episodes": selection_episodes}
    config = compose_validated([f"training.{key}={value}" for key, value in keys.items()])
    assert config.training.last_episodes == expected
    episodes = 4 * selection_episodes + expected + evaluation_episodes
    assert config.trial_env_steps == 1_250_000 + 500 * episodes


@pytest.mark.parametrize(("env_steps", "expected"), [(100_000, 5), (1_000, 3)])  # the second: 3 updates of 16 x 20
def test_a_run_evaluates_no_more_often_than_it_updates(env_steps, expected):
    length = [f"training.env_steps={env_steps}", "training.evaluations=5", "training.num_envs=16", "ppo.rollouts=20"]
    assert compose_validated(length).evaluations == expected


def test_of_an_older_run_unknown_keys_are_dropped_and_new_ones_have_todays_default():
    then = compose_config(["ppo.learning_rate=2e-4"])
    then["ppo"]["since_gone"] = 3
    del then["ppo"]["mixed_precision"]
    config = validate_recorded(then)
    assert (config.ppo.learning_rate, config.ppo.mixed_precision) == (2e-4, True)


def test_of_an_older_run_an_invalid_value_is_named():
    then = compose_config()
    then["env"]["goal_radius_m"] = -1
    with pytest.raises(ConfigError, match=r"^env\.goal_radius_m=-1: must be more than 0$"):
        validate_recorded(then)


def find_text_keys(path):
    """Yield the texts by which a module subscripts anything, or passes to ``get``."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        is_get = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get"
        inner = node.slice if isinstance(node, ast.Subscript) else node.args[0] if is_get and node.args else None
        if isinstance(inner, ast.Constant) and isinstance(inner.value, str):
            yield inner.value


def test_no_module_outside_config_and_the_space_reads_a_key_of_the_config_by_its_name_as_text():
    keys = {*Config.model_fields, *(name.rpartition(".")[2] for name in list_keys() if name.startswith("ppo."))}
    files = [path for path in (ROOT / "vbot_train").rglob("*.py") if path.parent.name not in ("config", "space")]
    found = {(path.name, key) for path in files for key in find_text_keys(path) if key in keys}
    no_config = {  # texts that are keys of something else
        ("navigation.py", "simulation"),  # parts of a saved state
        ("trainer.py", "env"),
        ("ppo.py", "scheduler"),  # of the learning rate
        ("loading.py", "seed"),  # parameter of a trial
        ("recovery.py", "seed"),
        ("trial_queue.py", "seed"),
        ("spec.py", "seed"),  # its distribution
        ("worker_pool.py", "evaluation"),  # of a message
        ("schema.py", "search"),  # a kind of stage, in pipeline/
    }
    assert found - no_config == set()


@pytest.mark.slow
def test_mypy_sees_a_misspelt_key(tmp_path):
    code = tmp_path / "misspelt.py"
    code.write_text(
        "from vbot_train.config.validation import compose_validated\n"
        "print(compose_validated().ppo.learning_rat)\n"
        "print(compose_validated().ppo.learning_rate)\n",
        encoding="utf-8",
    )
    line = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), str(code)]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert 'misspelt.py:2: error: "Ppo" has no attribute "learning_rat"' in done.stdout
    assert "misspelt.py:3" not in done.stdout
