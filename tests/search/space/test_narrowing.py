"""Narrower ranges around the best, by hand."""

import math
import warnings

import pytest
import yaml
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from vbot_train.config.composition import ConfigError
from vbot_train.search.space.distributions import describe
from vbot_train.search.space.narrowing import convert_to_choices, narrow_range, narrow_space
from vbot_train.search.space.space import read_space, split_overrides

RATE = FloatDistribution(1e-5, 1e-2, log=True)  # a third of it is one decade: half a decade to each side
LINE = FloatDistribution(0, 6)  # a third of it is 2: one to each side
KEY = "reward.approach.weight"  # has no bounds


def limits(distribution):
    return distribution.low, distribution.high


@pytest.mark.parametrize(
    ("best", "others", "low", "high"),
    [
        (1e-3, [], 3.16e-4, 3.17e-3),  # 1e-3 / sqrt(10) = 3.1622...e-4
        (1e-3, [4e-4, 2e-3], 3.16e-4, 3.17e-3),
        (1e-3, [2e-5], 2e-5, 3.17e-3),
        (1e-3, [2e-5, 9e-3], 2e-5, 9e-3),
        (1e-2, [], 3.16e-3, 3.17e-2),  # beyond the old range
        (1e-5, [], 3.16e-6, 3.17e-5),
        (1.0, [], 0.316, 3.17),  # far outside it
    ],
)
def test_a_log_range_keeps_a_third_of_its_decades(best, others, low, high):
    narrow = narrow_range("ppo.learning_rate", RATE, best, others)
    assert limits(narrow) == pytest.approx((low, high), rel=1e-3)
    assert narrow.log


@pytest.mark.parametrize(
    ("best", "others", "expected"),
    [
        (3.0, [], (2, 4)),
        (3.0, [2.5, 3.5], (2, 4)),
        (3.0, [0.5], (0.5, 4)),
        (3.0, [5.5, 1.0], (1, 5.5)),
        (6.0, [], (5, 7)),  # beyond the old range
        (8.0, [5.0], (5, 9)),  # best outside it
    ],
)
def test_a_linear_range_keeps_a_third_of_its_width(best, others, expected):
    narrow = narrow_range(KEY, LINE, best, others)
    assert limits(narrow) == expected
    assert not narrow.log and narrow.step is None


def test_limits_are_rounded_outwards_to_three_digits():
    narrow = narrow_range(KEY, LINE, 2.34567, [])  # 1.34567 to 3.34567
    assert limits(narrow) == (1.34, 3.35)
    narrow = narrow_range(KEY, FloatDistribution(-6000, 0), -2345.67, [])  # -3345.67 to -1345.67
    assert limits(narrow) == (-3350, -1340)
    low, high = limits(narrow_range("ppo.learning_rate", RATE, 2e-4, [1.23456e-6, 8.76543e-3]))
    assert (low, high) == (1.23e-6, 8.77e-3)


@pytest.mark.parametrize(
    ("old", "best", "expected"),
    [
        (FloatDistribution(0, 6), 0.5, (0, 1.5)),
        (FloatDistribution(-6, 0), -0.5, (-1.5, 0)),
        (FloatDistribution(-3, 3), 0.5, (-0.5, 1.5)),  # it had no sign
        (FloatDistribution(2, 8), 2.0, (1, 3)),  # it may reach beyond, but not to the other sign
        (FloatDistribution(-8, -2), -2.0, (-3, -1)),
    ],
)
def test_a_range_keeps_its_sign(old, best, expected):
    assert limits(narrow_range(KEY, old, best, [])) == expected


@pytest.mark.parametrize(
    ("key", "old", "best", "expected"),
    [
        ("ppo.gae_lambda", FloatDistribution(0.25, 1), 1.0, (0.875, 1)),  # at most 1, and 1 is allowed
        ("ppo.gae_lambda", FloatDistribution(0.25, 1), 0.25, (0.125, 0.375)),
        ("ppo.value_clip", FloatDistribution(0, 0.75), 0.0, (0, 0.125)),  # at least 0, and 0 is allowed
        ("ppo.ratio_clip", FloatDistribution(0.125, 0.875), 0.125, (0.125, 0.25)),  # more than 0: stays in its range
        ("ppo.ratio_clip", FloatDistribution(0.125, 0.875), 0.875, (0.75, 1)),  # at the other edge it need not
    ],
)
def test_a_range_stays_within_what_makes_sense(key, old, best, expected):
    assert limits(narrow_range(key, old, best, [])) == expected


def test_a_log_range_may_reach_down_where_zero_is_not_allowed():
    old = FloatDistribution(1e-3, 1, log=True)  # a third is a decade
    assert limits(narrow_range("ppo.ratio_clip", old, 1e-3, [])) == pytest.approx((3.16e-4, 3.17e-3), rel=1e-3)


@pytest.mark.parametrize(
    ("best", "others", "expected"),
    [
        (40, [], (24, 56)),  # a third is 32: 16 to each side
        (36, [], (16, 56)),  # 20 to 52, out to whole steps
        (16, [], (8, 32)),  # 0 to 32, but not below the old range
        (104, [], (88, 104)),  # 88 to 120
        (40, [72], (24, 72)),
        (40, [18, 50], (16, 56)),
    ],
)
def test_a_stepped_range_of_whole_numbers_keeps_its_steps_and_stays_inside(best, others, expected):
    narrow = narrow_range("ppo.rollouts", IntDistribution(8, 104, step=8), best, others)
    assert limits(narrow) == expected and narrow.step == 8


def test_a_range_of_whole_numbers_keeps_a_third_of_its_width():
    narrow = narrow_range("ppo.learning_epochs", IntDistribution(2, 14), 6, [])
    assert limits(narrow) == (4, 8) and isinstance(narrow, IntDistribution)
    narrow = narrow_range("ppo.rollouts", IntDistribution(8, 512, log=True), 64, [])  # 64 times: twice to each side
    assert limits(narrow) == (32, 128) and narrow.log


def test_a_stepped_range_of_numbers_keeps_its_steps_and_stays_inside():
    old = FloatDistribution(0.5, 6.5, step=0.5)
    assert limits(narrow_range(KEY, old, 3.0, [])) == (2, 4)
    assert limits(narrow_range(KEY, old, 3.0, [4.25])) == (2, 4.5)
    assert limits(narrow_range(KEY, old, 6.5, [])) == (5.5, 6.5)
    assert limits(narrow_range(KEY, old, 0.5, [])) == (0.5, 1.5)
    assert narrow_range(KEY, old, 3.0, []).step == 0.5


def test_a_stepped_range_of_numbers_is_narrowed_to_numbers_that_are_written():
    old = FloatDistribution(0.1, 0.9, step=0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Optuna's, where a range is not divisible by its step
        narrow = narrow_range("ppo.ratio_clip", old, 0.5, [0.3, 0.7])  # 0.1 + 0.1 * 2 is 0.30000000000000004
    assert limits(narrow) == (0.3, 0.7) and read_space({"x": describe(narrow)}) == {"x": narrow}


@pytest.mark.parametrize(
    ("choices", "best", "others", "expected"),
    [
        ((8, 16, 32, 64, 128), 32, [], (16, 32, 64)),
        ((8, 16, 32, 64, 128), 8, [], (8, 16)),
        ((8, 16, 32, 64, 128), 128, [], (64, 128)),
        ((8, 16, 32, 64, 128), 32, [128], (16, 32, 64, 128)),
        ((128, 8, 64, 32, 16), 16, [], (8, 16, 32)),  # neighbours in size
        ((0.9, 0.95, 0.99), 0.97, [], (0.95, 0.97, 0.99)),  # the best was none of them
        ((0.9, 0.95, 0.99), 0.999, [0.9], (0.9, 0.99, 0.999)),
        (("small", "medium", "large", "deep"), "large", [], ("large",)),
        (("small", "medium", "large", "deep"), "large", ["small", "large"], ("small", "large")),
        (("small", "medium"), "deep", [], ("deep",)),
        (("[64]", "[32,32]"), "[64]", [], ("[64]",)),
    ],
)
def test_of_choices_the_best_the_others_and_a_numbers_neighbours_stay(choices, best, others, expected):
    assert narrow_range(KEY, CategoricalDistribution(choices), best, others) == CategoricalDistribution(expected)


SWEEPS = ("network=small,medium,large,deep", "ppo.value_loss_scale=interval(0,6)", "ppo.rollouts=16,24,32,48")


def a_trial(network, weight, rollouts, reward, status="completed"):
    return {"network": network, "ppo.value_loss_scale": weight, "ppo.rollouts": rollouts}, status, reward


TRIALS = [
    a_trial("deep", 0.0, 48, 99.0, "diverged"),
    a_trial("medium", 2.5, 24, 2.0),
    a_trial("large", 3.0, 24, 3.0),
    a_trial("small", 6.0, 48, 1.0),
]


@pytest.fixture(scope="module")
def study(earlier_study):
    return earlier_study(*SWEEPS, trials=TRIALS)


def narrow(directory, *sweeps, given=(), top=5):
    return narrow_space(split_overrides({}, sweeps)[0], given, directory, "episode_reward_mean", top=top)


def test_a_space_is_narrowed_around_the_best_completed_trials(study):
    found = narrow(study, *SWEEPS, top=2)
    assert found.distributions == {
        "network": CategoricalDistribution(["medium", "large"]),
        "ppo.value_loss_scale": FloatDistribution(2, 4),
        "ppo.rollouts": CategoricalDistribution([16, 24, 32]),
    }
    assert found.notes == [
        "network: choice(small, medium, large, deep) narrowed to choice(medium, large)",
        "ppo.value_loss_scale: interval(0.0, 6.0) narrowed to interval(2.0, 4.0)",
        "ppo.rollouts: choice(16, 24, 32, 48) narrowed to choice(16, 24, 32)",
    ]


def test_a_trial_that_cannot_be_read_is_left_out_and_the_others_are_narrowed_around(earlier_study):
    directory = earlier_study(*SWEEPS, trials=TRIALS)
    (directory / "trials" / "002" / ".hydra" / "config.yaml").write_bytes(b"\x80\n")  # the best
    assert narrow(directory, *SWEEPS, top=1).distributions["network"] == CategoricalDistribution(["medium"])


def test_the_narrowed_space_holds_as_many_of_the_best_as_asked_for(study):
    found = narrow(study, *SWEEPS, top=3)
    assert found.distributions["network"] == CategoricalDistribution(["small", "medium", "large"])
    assert limits(found.distributions["ppo.value_loss_scale"]) == (2, 6)
    assert found.notes[2] == "ppo.rollouts: kept"


def test_a_range_of_the_command_line_is_kept_without_a_word(study):
    found = narrow(study, "network=small,deep", SWEEPS[1], given={"network"}, top=1)
    assert found.distributions["network"] == CategoricalDistribution(["small", "deep"])
    assert [note.split(":")[0] for note in found.notes] == ["ppo.value_loss_scale"]


def test_the_earlier_studys_own_range_is_narrowed_where_it_had_one(study):
    found = narrow(study, "ppo.value_loss_scale=interval(0,600)", top=1)
    assert found.distributions["ppo.value_loss_scale"] == FloatDistribution(2, 4)


def test_a_range_of_whole_numbers_of_the_earlier_study_stays_one(earlier_study):
    directory = earlier_study("ppo.rollouts=range(8,69)", trials=[({"ppo.rollouts": 40}, "completed", 1.0)])
    found = narrow(directory, "ppo.rollouts=range(8,69)")
    assert found.distributions == {"ppo.rollouts": IntDistribution(30, 50)}  # a third of 60: 10 to each side


def test_an_option_that_the_earlier_study_had_written_out_narrows_nothing(earlier_study):
    directory = earlier_study("ppo.rollouts=16,24", trials=[({"ppo.rollouts": 24}, "completed", 1.0)])
    record = yaml.safe_load((directory / "study.yaml").read_text(encoding="utf-8"))
    record["groups"]["network"] = None
    (directory / "study.yaml").write_text(yaml.safe_dump(record), encoding="utf-8")
    assert narrow(directory, "network=small,large").notes == ["network: kept"]


def test_a_key_that_the_earlier_study_fixed_is_narrowed_around_its_value(earlier_study):
    trial = ({"ppo.value_loss_scale": 3.0}, "completed", 1.0)
    directory = earlier_study(SWEEPS[1], "network=large", "ppo.rollouts=40", trials=[trial])
    found = narrow(directory, SWEEPS[0], SWEEPS[2])
    assert found.distributions == {
        "network": CategoricalDistribution(["large"]),
        "ppo.rollouts": CategoricalDistribution([32, 40, 48]),
    }


def test_there_is_nothing_to_narrow_around_without_a_completed_trial(earlier_study, tmp_path):
    directory = earlier_study("ppo.rollouts=16,48", trials=[({"ppo.rollouts": 48}, "diverged", 99.0)])
    with pytest.raises(ConfigError, match=r"search\.around=.*no completed trial"):
        narrow(directory, *SWEEPS)
    with pytest.raises(ConfigError, match=r"search\.around=.*nothing: not the directory of a study"):
        narrow(tmp_path / "nothing", *SWEEPS)


@pytest.mark.parametrize(
    ("key", "distribution", "best"),
    [
        ("ppo.ratio_clip", FloatDistribution(0.3, 0.6), 0.1),
        ("ppo.learning_epochs", IntDistribution(2, 4), 10),
        ("ppo.rollouts", IntDistribution(16, 64, step=16), 100),
        ("ppo.learning_epochs", IntDistribution(20, 40, step=10), 5),
    ],
)
def test_a_best_value_far_outside_leaves_a_range(key, distribution, best):
    narrow = narrow_range(key, distribution, best, [])
    assert narrow.low <= narrow.high
    if isinstance(narrow, FloatDistribution):
        assert narrow.low <= best <= narrow.high  # a stepped range stays within its steps


def test_rounding_does_not_leave_what_makes_sense():
    assert narrow_range("ppo.initial_std", FloatDistribution(0.5, 2, log=True), 2.5, []).high == math.e


def test_limits_that_are_short_already_are_not_rounded_further():
    narrow = narrow_range("ppo.gae_lambda", FloatDistribution(0.0, 0.9), 0.5, [])  # 0.5 -+ 0.9 / 6
    assert (narrow.low, narrow.high) == (0.35, 0.65)


def test_a_list_that_was_no_choice_is_written_as_one():
    lists = CategoricalDistribution(["[64]", "[32,32]"])
    best, others = convert_to_choices(lists, [[256, 128, 64], [64]])
    assert narrow_range("network.hidden_layer_sizes", lists, best, others).choices == ("[64]", "[256,128,64]")
