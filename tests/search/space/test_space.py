"""What varies, in Hydra's grammar, and what each point composes to."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from optuna.distributions import CategoricalDistribution, FloatDistribution

from vbot_train.config.composition import ConfigError, compose_config
from vbot_train.search.space.space import OutsideError, read_space, split_overrides

PRESET = {"ppo.learning_rate": "tag(log, interval(1e-5, 1e-2))", "ppo.rollouts": "choice(24, 48)"}


def test_a_key_set_on_the_command_line_leaves_the_space():
    distributions, fixed = split_overrides(PRESET, ["ppo.rollouts=24", "seed=1"])
    assert distributions == {"ppo.learning_rate": FloatDistribution(1e-5, 1e-2, log=True)}
    assert fixed == ["ppo.rollouts=24", "seed=1"]


def test_a_sweep_on_the_command_line_replaces_a_range_or_adds_one():
    distributions, fixed = split_overrides(PRESET, ["ppo.learning_rate=interval(1e-4,1e-3)", "network=small,large"])
    assert distributions["ppo.learning_rate"] == FloatDistribution(1e-4, 1e-3)
    assert distributions["network"] == CategoricalDistribution(["small", "large"])
    assert fixed == []


@pytest.mark.parametrize("sweep", ["interval(1e-3,1e-4)", "tag(log,interval(0,1))", "range(5,1)"])
def test_an_empty_or_impossible_range_is_refused_with_its_key(sweep):
    with pytest.raises((ConfigError, HydraException), match="learning_rate"):
        split_overrides({}, [f"ppo.learning_rate={sweep}"])


def test_the_cells_of_quick_are_the_product_of_its_choices(make_space):
    cells = list(make_space("search=quick").list_cells())
    assert len(cells) == 6  # 3 learning rates x 2 rollouts
    assert {"ppo.learning_rate": 3e-4, "ppo.rollouts": 48} in cells


def test_a_candidate_is_the_config_with_groups_and_values_replaced(make_space):
    space = make_space("network=small,large", "ppo.rollouts=16,24", "seed=7")
    candidate = space.compose_candidate({"network": "large", "ppo.rollouts": 16})
    assert candidate.config["network"]["hidden_layer_sizes"] == [512, 256, 128]
    assert candidate.config["ppo"]["rollouts"] == 16
    assert candidate.config["seed"] == 7
    assert candidate.choices["network"] == "large"
    assert candidate.overrides == ["seed=7", "network=large", "ppo.rollouts=16"]
    assert space.compose_candidate({"network": "small", "ppo.rollouts": 24}).config["ppo"]["rollouts"] == 24
    assert candidate.config["ppo"]["rollouts"] == 16  # a candidate keeps what it was


def test_lists_can_be_chosen(make_space):
    space = make_space("network.hidden_layer_sizes=[64],[32,32]")
    configs = [space.compose_candidate(cell).config["network"]["hidden_layer_sizes"] for cell in space.list_cells()]
    assert configs == [[64], [32, 32]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ppo.no_such_key=1,2"], "ppo.no_such_key: no such key"),
        (["search=full,quick"], "search=choice(full, quick): cannot be searched"),
        (["env=section001,section001_far"], "env=choice(section001, section001_far): cannot be searched"),
        (["training.num_envs=64,128"], "cannot be searched"),
        (["evaluation.seed=1,2"], "cannot be searched"),
        (["reward.approach.weight=1,2"], "rewards cannot be searched with search.metric=episode_reward_mean"),
        (["network=interval(1,2)"], "network: a config group takes choice(OPTION, ...)"),
        (
            ["network=small,large", "network.hidden_layer_sizes=[64]"],
            "network=small and network=large: are the same configuration",
        ),
        (
            ["network=small,large", "network.hidden_layer_sizes=[64],[32]"],
            "network=small and network=large: are the same configuration",
        ),
    ],
)
def test_what_must_not_vary_is_refused(make_space, arguments, message):
    with pytest.raises(ConfigError) as error:
        make_space(*arguments)
    assert message in str(error.value)


def test_rewards_can_be_searched_with_a_metric_that_no_weight_defines(make_space):
    space = make_space("reward.approach.weight=1,2", "search.metric=success_rate")
    assert space.compose_candidate({"reward.approach.weight": 2}).config["reward"]["approach"]["weight"] == 2


def test_an_option_that_does_not_exist_is_refused_by_hydra_before_the_first_trial(make_space):
    with pytest.raises(HydraException, match="huge"):
        make_space("network=small,huge")


def test_a_grid_refuses_an_interval(make_space):
    with pytest.raises(ConfigError, match="a grid needs choice"):
        list(make_space("ppo.learning_rate=interval(1e-4,1e-3)").list_cells())


def test_the_kl_schedule_is_refused_where_the_learning_rate_is_searched(make_space):
    rates = "ppo.learning_rate=1e-4,1e-3"
    for schedule in ("ppo.learning_rate_schedule=kl", "ppo.learning_rate_schedule=none,kl"):
        with pytest.raises(ConfigError, match="kl: cannot be used"):
            make_space(rates, schedule)
    make_space(rates, "ppo.learning_rate_schedule=none,linear")


def test_the_default_configuration_is_a_point_where_the_space_contains_it(make_space):
    config = compose_config()
    choices = {"network": "medium"}
    inside = make_space("ppo.learning_rate=interval(1e-4,1e-3)", "network=small,medium")
    assert inside.point(config, choices) == {"ppo.learning_rate": 1e-3, "network": "medium"}
    lists = make_space("network.hidden_layer_sizes=[64],[256,128,64]")
    assert lists.point(config, choices) == {"network.hidden_layer_sizes": "[256,128,64]"}


def test_a_step_of_a_range_is_found_although_it_is_rounded(make_space):
    space = make_space("ppo.ratio_clip=range(0.1,0.5,0.1)")
    config = compose_config(["ppo.ratio_clip=0.30000000000000004"])  # 0.1 + 0.1 * 2
    assert space.point(config, {}) == {"ppo.ratio_clip": 0.3}
    assert space.compose_candidate({"ppo.ratio_clip": 0.1 + 0.1 * 2}).config["ppo"]["ratio_clip"] == 0.3


def test_the_cells_of_a_range_of_floats_are_the_numbers_that_are_written(make_space):
    shares = [space.values() for space in make_space("ppo.gae_lambda=range(0.9,1.0,0.05)").list_cells()]
    assert [list(share) for share in shares] == [[0.9], [0.95]]


def test_a_grid_of_too_many_cells_is_refused_before_they_are_listed(make_space):
    space = make_space("seed=range(0,1000000000000)", "ppo.rollouts=16,24")
    with pytest.raises(ConfigError, match=r"^seed=range\(0, 1000000000000\): a grid of 2,000,000,000,000 cells, more"):
        next(space.list_cells())


NAMES = ["256", "1e3", "null", "true", "1_000", "64x64", "a-b.c"]


def test_an_option_may_be_named_like_a_number(make_space, tmp_path):
    (tmp_path / "network").mkdir()
    for size, name in enumerate(NAMES, start=1):
        (tmp_path / "network" / f"{name}.yaml").write_text(f"hidden_layer_sizes: [{size}]\n", encoding="utf-8")
    space = make_space(f"network={','.join(NAMES)},'256',small", config_dir=tmp_path)
    *cells, small = space.list_cells()
    assert (cells, small) == ([{"network": name} for name in NAMES], {"network": "small"})
    for size, cell in enumerate(cells, start=1):
        candidate = space.compose_candidate(cell)
        assert candidate.choices["network"] == cell["network"]
        assert candidate.config["network"] == {"hidden_layer_sizes": [size]}
        assert space.point(candidate.config, candidate.choices) == cell
        (written,) = OverridesParser.create().parse_overrides(candidate.overrides)
        assert written.value() == cell["network"]  # as Hydra takes it: a string
    assert read_space(space.describe()) == space.distributions


def test_a_glob_is_every_option_that_it_matches(make_space):
    space = make_space("network=glob(*,exclude=d*)")
    assert space.distributions == {"network": CategoricalDistribution(["large", "medium", "small"])}
    for sweep in ("network=glob(z*)", "ppo.rollouts=glob(*)"):
        with pytest.raises(ConfigError, match="there is no such option"):
            make_space(sweep)


def test_options_that_differ_in_how_a_number_is_written_are_the_same_configuration(make_space, tmp_path):
    (tmp_path / "network").mkdir()
    for name, size in (("a", "64"), ("b", "64.0")):
        (tmp_path / "network" / f"{name}.yaml").write_text(f"hidden_layer_sizes: [{size}]\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="network=a and network=b: are the same configuration"):
        make_space("network=a,b", config_dir=tmp_path)


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ("ppo.learning_rate=interval(1e-2,1e-1)", "ppo.learning_rate=0.001 lies outside interval(0.01, 0.1)"),
        ("network=small,large", "network=medium lies outside choice(small, large)"),
        ("ppo.rollouts=range(16,65,16)", "ppo.rollouts=24 lies outside range(16, 80, 16)"),  # 16, 32, 48, 64
    ],
)
def test_a_configuration_outside_the_space_is_named(make_space, space, message):
    with pytest.raises(OutsideError) as refused:
        make_space(space).point(compose_config(), {"network": "medium"})
    assert str(refused.value) == message


def test_a_candidate_may_have_another_seed_and_runs_on_one_thread_where_it_shares_the_machine(make_space):
    space = make_space("ppo.rollouts=16,24")
    alone, shared = (
        space.compose_candidate({"ppo.rollouts": 16}),
        space.compose_candidate({"ppo.rollouts": 16}, seed=43, shared=True),
    )
    assert (alone.config["seed"], alone.config["simulation"]["threads"]) == (42, None)
    assert (shared.config["seed"], shared.config["simulation"]["threads"]) == (43, 1)
    assert shared.config["training"]["torch_threads"] == 1
    added = [line for line in shared.overrides if line not in alone.overrides]
    assert added == ["seed=43", "simulation.threads=1", "training.torch_threads=1"]
    assert space.compose_candidate({"ppo.rollouts": 16}).config == alone.config  # nothing of it stays
    assert (
        make_space("ppo.rollouts=16,24", "training=smoke")
        .compose_candidate({"ppo.rollouts": 16}, shared=True)
        .overrides[-1]
        == "simulation.threads=1"
    )  # smoke says itself how many threads torch has


def test_a_run_to_start_from_is_the_one_where_it_was_typed(make_space, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fixed = make_space("init_from=run", "ppo.rollouts=16,24")
    swept = make_space("init_from=a,null")
    monkeypatch.chdir("/")
    assert fixed.compose_candidate({"ppo.rollouts": 16}).config["init_from"] == str(tmp_path / "run")
    assert swept.distributions["init_from"].choices == (str(tmp_path / "a"), None)
    assert swept.compose_candidate({"init_from": str(tmp_path / "a")}).config["init_from"] == str(tmp_path / "a")
