"""Which known configurations are tried first, and why others are not."""

import functools
import shutil
import sys
from pathlib import Path

import pytest
from studies import METRIC, retrained, screened, study

from vbot_train.config.composition import ConfigError, compose_config
from vbot_train.search.space.initial_points import InitialPoint, InitialPoints, drop_repeats, list_best_configurations

CHOICES = {"env": "section001", "network": "medium", "training": "standard"}


@pytest.fixture(scope="module")
def space(make_space):
    """The default lies in it: 1e-3, medium, 24."""
    return make_space("ppo.learning_rate=interval(1e-4,1e-3)", "network=small,medium,large", "ppo.rollouts=16,24")


@functools.cache
def composed(*overrides):
    return compose_config(list(overrides))


def initial_points(space, *overrides, broken_rules=lambda candidate: [], choices=CHOICES):
    return InitialPoints(space, composed(*overrides), choices, broken_rules, "episode_reward_mean")


def enqueued(space, *entries, **options):
    return list(initial_points(space, **options).list_enqueued(entries))


def params_at(learning_rate=1e-3, network="medium", rollouts=24):
    return {"ppo.learning_rate": learning_rate, "network": network, "ppo.rollouts": rollouts}


def too_long(candidate):
    return ["too_long", "another"] if candidate.config["ppo"]["rollouts"] > 16 else []


def test_the_composed_configuration_is_the_first_point(space):
    point = initial_points(space).make_default()
    assert (point.params, point.origin, point.reason, point.histories) == (params_at(), "default", None, {})


def test_a_default_outside_the_space_is_left_out_with_the_reason(space):
    point = initial_points(space, "ppo.learning_rate=1e-2").make_default()
    assert point.params is None
    assert point.reason == "ppo.learning_rate=0.01 lies outside interval(0.0001, 0.001)"
    point = initial_points(space, "network=deep", choices=CHOICES | {"network": "deep"}).make_default()
    assert point.reason == "network=deep lies outside choice(small, medium, large)"


def test_a_default_that_breaks_a_rule_is_left_out_with_the_first_rule(space):
    point = initial_points(space, broken_rules=too_long).make_default()
    assert (point.params, point.reason) == (None, "it breaks the rule too_long")


@pytest.mark.parametrize(
    "entry",
    [
        "ppo.learning_rate=2e-4 network=large",
        "network=large   ppo.learning_rate=0.0002",
        {"ppo.learning_rate": 2e-4, "network": "large"},
    ],
)
def test_an_entry_changes_the_composed_configuration(space, entry):
    (point,) = enqueued(space, entry)
    assert (point.params, point.origin) == (params_at(2e-4, "large"), "enqueued")
    assert str(entry) in point.name


def test_an_entry_names_a_list_as_hydra_writes_it(make_space):
    lists = make_space("network.hidden_layer_sizes=[64],[32,32]")
    (point,) = enqueued(lists, "network.hidden_layer_sizes=[32,32]")
    assert point.params == {"network.hidden_layer_sizes": "[32,32]"}


def test_an_entry_names_an_option_as_it_is_typed(make_space, tmp_path):
    (tmp_path / "network").mkdir()
    (tmp_path / "network" / "1e3.yaml").write_text("hidden_layer_sizes: [1000]\n", encoding="utf-8")
    space = make_space("network=1e3,small", config_dir=tmp_path)
    assert [point.params for point in enqueued(space, "network=1e3", "network='1e3'")] == [{"network": "1e3"}] * 2


def test_a_value_that_was_computed_is_the_one_that_was_written(space, make_space):
    (point,) = enqueued(make_space("ppo.ratio_clip=range(0.1,0.5,0.1)"), "ppo.ratio_clip=0.30000000000000004")
    assert point.params == {"ppo.ratio_clip": 0.3}
    (point,) = enqueued(space, "ppo.gae_lambda=0.9500000000000001")  # fixed at 0.95
    assert point.params == params_at()


def test_an_entry_leaves_the_composed_configuration_as_it_was_for_the_next(space):
    first, second = enqueued(space, "ppo.rollouts=16 network=small", "ppo.learning_rate=2e-4")
    assert (first.params, second.params) == (params_at(network="small", rollouts=16), params_at(2e-4))


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ("ppo.learning_rate=1", "ppo.learning_rate=1 lies outside interval(0.0001, 0.001)"),
        ("ppo.rollouts=20", "ppo.rollouts=20 lies outside choice(16, 24)"),
        ({"network": "deep"}, "network=deep lies outside choice(small, medium, large)"),
    ],
)
def test_an_entry_outside_the_space_is_left_out_with_the_reason(space, entry, reason):
    (point,) = enqueued(space, entry)
    assert (point.params, point.reason) == (None, reason)


def test_an_entry_that_breaks_a_rule_is_left_out_and_the_others_stay(space):
    broken, kept = enqueued(space, "ppo.rollouts=24", "ppo.rollouts=16", broken_rules=too_long)
    assert (broken.params, broken.reason) == (None, "it breaks the rule too_long")
    assert kept.params == params_at(rollouts=16)


@pytest.mark.parametrize("entry", ["ppo.gae_lambda=0.95", "training=standard", "seed=42", {"ppo.gae_lambda": 0.95}])
def test_a_key_that_does_not_vary_may_be_named_at_its_value(space, entry):
    (point,) = enqueued(space, entry)
    assert point.params == params_at()


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ("ppo.gae_lambda=0.9", "ppo.gae_lambda=0.9 lies outside the space, which does not vary ppo.gae_lambda"),
        ("training=quick ppo.rollouts=16", "training=quick lies outside the space, which does not vary training"),
    ],
)
def test_a_key_that_does_not_vary_at_another_value_is_told(space, entry, reason):
    (point,) = enqueued(space, entry)
    assert (point.params, point.reason) == (None, reason)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("ppo.no_such_key=1", "ppo.no_such_key=1: no such key"),
        ({"nothing": 1}, "nothing=1: no such key"),
        ("ppo.rollouts=16,24", "ppo.rollouts=16,24: one value for each key"),
        ("ppo.learning_rate=interval(1e-4,1e-3)", "one value for each key"),
        ("ppo.rollouts=[16", "search.enqueue=ppo.rollouts="),
        ("ppo.rollouts='16", "search.enqueue=ppo.rollouts='16: No closing quotation"),
        ("multirun/x:three", "search.enqueue=multirun/x:three: multirun/x:three: not the directory of a study"),
        ("C:\\runs\\OLD:5", "search.enqueue=C:\\runs\\OLD: C:\\runs\\OLD: not the directory of a study"),
        ("multirun/nothing", "search.enqueue=multirun/nothing"),
        (24, "search.enqueue=24: give overrides such as"),
        (["ppo.rollouts=16"], "give overrides such as"),
    ],
)
def test_an_entry_that_says_nothing_sensible_is_refused(space, entry, message):
    with pytest.raises(ConfigError) as error:
        enqueued(space, entry)
    assert message in str(error.value)


SWEEPS = ("ppo.learning_rate=interval(1e-5,1e-2)", "network=small,medium,deep")
SEVEN = [  # best first: trials 3, 6, 5, 4, 1; two of them outside the space
    ({"ppo.learning_rate": 1e-4, "network": "small"}, "failed", 99.0),
    ({"ppo.learning_rate": 2e-4, "network": "small"}, "completed", 1.0),
    ({"ppo.learning_rate": 3e-4, "network": "small"}, "diverged", 99.0),
    ({"ppo.learning_rate": 4e-4, "network": "medium"}, "completed", 6.0),
    ({"ppo.learning_rate": 5e-4, "network": "deep"}, "completed", 2.0),
    ({"ppo.learning_rate": 5e-3, "network": "small"}, "completed", 3.0),
    ({"ppo.learning_rate": 6e-4, "network": "small"}, "completed", 4.0),
]
BEST = [params_at(4e-4, "medium"), params_at(6e-4, "small"), None, None, params_at(2e-4, "small")]


@pytest.fixture(scope="module")
def seven(earlier_study):
    return earlier_study(*SWEEPS, trials=SEVEN)


def directories_of(points):
    """By seed, the trials whose results may be taken over for each point."""
    return [{seed: directory.name for seed, directory in point.histories.items()} for point in points]


def test_a_study_stands_for_its_best_completed_trials(space, seven):
    found = enqueued(space, str(seven))
    assert [point.params for point in found] == BEST
    assert found[0].name == f"trial 3 of {seven}"
    assert found[2].reason == "ppo.learning_rate=0.005 lies outside interval(0.0001, 0.001)"
    assert found[3].reason == "network=deep lies outside choice(small, medium, large)"
    assert {point.origin for point in found} == {"enqueued"}
    assert directories_of(found) == [{42: name} for name in ("003", "006", "005", "004", "001")]


def test_of_a_study_as_many_are_taken_as_asked_for_and_five_unless_asked(space, earlier_study):
    ten = [({"ppo.learning_rate": k * 1e-4, "network": "small"}, "completed", k) for k in range(1, 11)]
    directory = earlier_study(SWEEPS[0], "network=small,medium", trials=ten)
    rates = [point.params["ppo.learning_rate"] for point in enqueued(space, f"{directory}:7")]
    assert rates == pytest.approx([10e-4, 9e-4, 8e-4, 7e-4, 6e-4, 5e-4, 4e-4])
    assert len(enqueued(space, str(directory))) == 5
    assert len(list(initial_points(space).list_best_of(directory, "search.around", None))) == 10


@pytest.mark.skipif(sys.platform == "win32", reason="makes directories whose names hold a colon")
def test_only_a_number_or_all_after_the_last_colon_says_how_many(space, earlier_study, tmp_path, monkeypatch):
    ten = [({"ppo.learning_rate": k * 1e-4, "network": "small"}, "completed", k) for k in range(1, 11)]
    named = (tmp_path / "C:" / "a:3b").resolve()  # a drive, and a name that holds a colon
    named.parent.mkdir()
    earlier_study(SWEEPS[0], "network=small,medium", trials=ten).rename(named)
    monkeypatch.chdir(tmp_path)
    counts = {"C:/a:3b": 5, "C:/a:3b:3": 3, f"{named}:all": 10}
    assert {entry: len(enqueued(space, entry)) for entry in counts} == counts


def test_a_path_of_windows_reaches_us_as_it_was_typed():
    typed = ["search.around=C:\\runs\\OLD", 'search.enqueue=["C:\\runs\\OLD:5"]']
    search = compose_config(typed)["search"]
    assert (search["around"], search["enqueue"]) == ("C:\\runs\\OLD", ["C:\\runs\\OLD:5"])


@pytest.mark.parametrize(("platform", "kept"), [("win32", "C:\\runs\\OLD"), ("linux", "C:runsOLD")])
def test_a_backslash_in_an_entry_is_what_it_is_on_the_system(space, monkeypatch, platform, kept):
    monkeypatch.setattr("sys.platform", platform)
    (point,) = enqueued(space, "'ppo.rollouts=16' init_from=C:\\runs\\OLD")
    assert point.reason.startswith(f"init_from={Path.cwd() / kept} lies outside the space")


def test_a_key_that_the_earlier_study_did_not_vary_comes_from_its_config(space, earlier_study):
    trial = ({"ppo.learning_rate": 2e-4}, "completed", 1.0)
    directory = earlier_study(SWEEPS[0], "network=small", "ppo.rollouts=16", trials=[trial])
    (point,) = enqueued(space, str(directory))
    assert point.params == params_at(2e-4, "small", 16)


def test_what_a_trial_of_an_earlier_study_does_not_keep_is_told(space, earlier_study):
    trial = ({"ppo.learning_rate": 2e-4}, "completed", 1.0)
    directory = earlier_study(SWEEPS[0], "ppo.gae_lambda=0.9", "ppo.learning_epochs=4", trials=[trial])
    (point,) = enqueued(space, str(directory))
    assert point.params == params_at(2e-4)
    assert point.name == f"trial 0 of {directory}, but with ppo.gae_lambda=0.95, ppo.learning_epochs=5"


def test_trials_that_differ_in_their_rewards_are_not_ranked_by_them(space, earlier_study):
    weights = ["reward.approach.weight=interval(1,3)", "search.metric=success_rate"]
    directory = earlier_study(*weights, trials=[({"reward.approach.weight": 2.0}, "completed", 1.0)])
    with pytest.raises(ConfigError, match=r"differ in the rewards that search\.metric=episode_reward_mean sums up"):
        enqueued(space, str(directory))


def test_a_configuration_that_was_trained_twice_comes_once_and_ranks_by_its_mean(space, earlier_study):
    twice, once = {"ppo.learning_rate": 4e-4}, {"ppo.learning_rate": 2e-4}
    trials = [(twice, "completed", 6.0), (once, "completed", 5.0), (twice, "completed", 3.0)]
    found = enqueued(space, str(earlier_study(SWEEPS[0], trials=trials)))
    assert [point.params for point in found] == [params_at(2e-4), params_at(4e-4)]  # 5.0 and 4.5


def test_all_of_a_study_are_its_configurations_with_a_value_and_then_those_that_diverged(space, seven):
    found = enqueued(space, f"{seven}:all")
    assert directories_of(found) == [{42: name} for name in ("003", "006", "005", "004", "001", "002")]
    assert [point.params for point in found] == [*BEST, params_at(3e-4, "small")]
    assert {point.origin for point in found} == {"enqueued"}


def test_no_results_are_taken_over_from_the_study_around_which_is_searched(space, seven):
    assert directories_of(initial_points(space).list_best_of(seven, "search.around", 5)) == [{}] * 5


def test_a_trial_that_cannot_be_read_is_left_out_with_the_reason_and_the_others_are_tried(space, earlier_study):
    directory = earlier_study(*SWEEPS, trials=SEVEN)
    shutil.rmtree(directory / "trials" / "003")  # the best
    shutil.rmtree(directory / "trials" / "002")  # diverged: its result is not needed, but what it was trained on is
    *found, gone = enqueued(space, f"{directory}:2")
    assert [point.params for point in found] == [params_at(6e-4, "small"), None]
    assert gone.name == f"trial 3 of {directory}" and gone.params is None
    assert gone.reason == f"{directory}/trials/003/result.yaml cannot be read: No such file or directory"
    *good, diverged, gone = enqueued(space, f"{directory}:all")
    assert directories_of(good) == [{42: name} for name in ("006", "005", "004", "001")]
    assert (diverged.params, gone.params) == (None, None) and "not the directory of a run" in diverged.reason


def test_a_configuration_that_lost_a_seed_comes_after_every_whole_one(space, earlier_study):
    first, second = {"ppo.learning_rate": 4e-4}, {"ppo.learning_rate": 2e-4}
    trials = [(first, "completed", 6.0), (first, "diverged", 0.0), (second, "completed", 1.0)]
    found = enqueued(space, str(earlier_study(SWEEPS[0], trials=trials)))
    assert [point.params for point in found] == [params_at(2e-4), params_at(4e-4)]


def test_a_study_without_a_completed_trial_is_refused(space, earlier_study):
    directory = earlier_study(SWEEPS[0], trials=[({"ppo.learning_rate": 1e-4}, "failed", 99.0)])
    with pytest.raises(ConfigError, match="this study has no completed trial"):
        enqueued(space, str(directory))


def test_each_point_is_tried_once_and_every_reason_is_kept():
    first, second = InitialPoint("a", "default", {"x": 1, "y": 2}), InitialPoint("b", "enqueued", {"x": 2, "y": 2})
    same = InitialPoint("c", "enqueued", {"y": 2, "x": 1})
    left_out = [InitialPoint(name, "enqueued", None, "outside") for name in "de"]
    kept = drop_repeats([first, left_out[0], second, same, left_out[1]])
    assert kept == [first, left_out[0], second, left_out[1]]


def test_a_point_that_is_named_twice_keeps_the_results_of_both():
    point = {"x": 1, "y": 2}
    default = InitialPoint("the default", "default", point)
    one = InitialPoint("a", "enqueued", dict(reversed(point.items())), histories={42: Path("old/000")})
    other = InitialPoint("b", "enqueued", point, histories={43: Path("old/007")})
    (kept,) = drop_repeats([default, one, other])
    assert (kept.name, kept.origin) == ("the default", "default")
    assert kept.histories == {42: Path("old/000"), 43: Path("old/007")}


def test_an_entry_names_a_run_to_start_from_where_it_was_typed(make_space, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (point,) = enqueued(make_space("init_from=a,b"), "init_from=b")
    assert point.params == {"init_from": str(tmp_path / "b")}


def test_the_best_of_a_study_that_has_confirmed_is_its_winner_not_what_the_search_saw():
    confirming = [retrained(n, seed, value) for n, value in ((0, 1.0), (1, 8.0)) for seed in (1001, 1002)]
    found = study([screened(0, 10.0), screened(1, 9.0)], confirming)
    assert [each.number for each in list_best_configurations(found, METRIC, "search.around")] == [1, 0]
    assert [each.number for each in list_best_configurations(study(found.trials), METRIC, "search.around")] == [0, 1]
