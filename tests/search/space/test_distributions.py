"""What a distribution holds, in Hydra's grammar."""

import sys
import warnings

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from vbot_train.config.composition import ConfigError
from vbot_train.search.space.distributions import (
    count_values,
    describe,
    find,
    find_option_name,
    list_values,
    parse_distribution,
    update_description,
)

MANY = 10**12


def read(text):
    return parse_distribution(OverridesParser.create().parse_override(f"x={text}"))


@pytest.mark.parametrize(
    ("sweep", "values"),
    [
        ("range(0.9, 1.0, 0.05)", [0.9, 0.95]),
        ("range(0.1, 0.4, 0.1)", [0.1, 0.2, 0.3]),  # 0.1 + 3 * 0.1 is more than 0.4
        ("range(0.4, 0.1, -0.1)", [0.2, 0.3, 0.4]),
        ("range(1, 2, 0.25)", [1.0, 1.25, 1.5, 1.75]),
        ("range(16, 65, 16)", [16, 32, 48, 64]),
    ],
)
def test_a_range_holds_what_is_written_and_each_of_its_values_is_found_as_written(sweep, values):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Optuna's, where the range is not divisible by the step
        distribution = read(sweep)
    assert list(list_values(distribution)) == values
    assert count_values(distribution) == len(values)
    assert [find(distribution, value) for value in values] == [[value] for value in values]


def test_a_step_of_floats_is_found_although_it_was_computed():
    assert find(FloatDistribution(0.9, 0.95, step=0.05), 0.9 + 0.05) == [0.95]
    assert find(FloatDistribution(0.9, 0.95, step=0.05), 0.93) == []


@pytest.mark.parametrize(
    ("distribution", "value", "found"),
    [
        (IntDistribution(8, MANY, step=8), 800, [800]),
        (IntDistribution(8, MANY, step=8), 801, []),
        (IntDistribution(8, MANY), 2.5, []),
        (IntDistribution(8, 64, log=True), 9.0, [9]),
        (IntDistribution(8, 64, log=True), 9.5, []),
        (FloatDistribution(0.9, 0.95, step=0.05), 10**400, []),
        (FloatDistribution(0, 1), float("nan"), []),
        (CategoricalDistribution(["256", 512]), "256", ["256"]),
        (CategoricalDistribution(["256", 512]), 256, []),
    ],
)
def test_a_value_is_found_without_listing_the_others(distribution, value, found):
    assert find(distribution, value) == found
    assert [type(each) for each in find(distribution, value)] == [type(each) for each in found]


def test_a_range_of_whole_numbers_is_not_listed():
    distribution = read(f"range(0, {MANY})")
    assert count_values(distribution) == MANY
    assert sys.getsizeof(list_values(distribution)) < 1000


@pytest.mark.parametrize(
    ("sweep", "message"),
    [
        ("range(0, 1e8)", "100,000,000 steps, more than 100,000"),
        ("shuffle(range(0, 100000000))", "100,000,000 steps, more than 100,000"),
        ("float(range(0, 100000000))", "100,000,000 steps, more than 100,000"),
        ("range(0, 1, 1e-17)", "steps, more than 100,000"),
        ("range(0, inf)", "the range must be finite"),
        ("range(0, nan)", "the range must be finite"),
    ],
)
def test_a_range_that_would_have_to_be_listed_is_refused_where_it_is_long(sweep, message):
    with pytest.raises(ConfigError) as refused:
        read(sweep)
    assert str(refused.value).startswith(f"x={sweep}: ") and message in str(refused.value)


@pytest.mark.parametrize(
    ("sweep", "choices"),
    [
        ("8,8,12", [8, 12]),
        ("12,8.0,8,12.0", [12, 8.0]),
        ("1e-3,0.001,1e-4", [0.001, 0.0001]),
        ("choice(a,'a',b)", ["a", "b"]),
        ("[64,32],[64, 32],[64]", ["[64,32]", "[64]"]),
        ("['a'],[\"a\"]", ["['a']"]),
        ("1,true,0,false", [1, True, 0, False]),
        ("256,'256'", [256, "256"]),
        ("null,null", [None]),
        ("int(range(0, 2, 0.5))", [0, 1]),
    ],
)
def test_a_choice_that_is_listed_twice_counts_once(sweep, choices):
    found = read(sweep).choices
    assert [(type(each), each) for each in found] == [(type(each), each) for each in choices]


@pytest.mark.parametrize(
    "sweep",
    [
        "interval(1, 5)",
        "tag(log, interval(1.2345678e-04, 0.01))",
        "range(8, 12)",
        "int(interval(8, 12))",
        "tag(log, int(interval(1, 64)))",
        "range(16, 65, 16)",
        "range(0.1, 0.4, 0.1)",
        "range(0.9, 1.0, 0.05)",
        "range(1000, 1000.001, 0.000001)",
        "choice(a, b)",
        "choice('256', '1e3', 'null', 'true', '[64]x', 'a, b', \"it's\", 'a b')",
        "null, outputs/x",
        "[1, 2], [3]",
    ],
)
def test_a_described_range_reads_as_itself(sweep):
    distribution = read(sweep)
    text = describe(distribution)
    assert read(text) == read(update_description(text)) == distribution


@pytest.mark.parametrize(
    ("then", "now"),
    [
        ("interval(8, 11)", "range(8, 12)"),
        ("tag(log, interval(1, 64))", "tag(log, int(interval(1, 64)))"),
        ("choice(null, outputs/x)", "null, outputs/x"),
        ("interval(8.0, 11.0)", "interval(8.0, 11.0)"),
        ("choice('null', a)", "choice('null', a)"),
        ("range(0.9, 0.975, 0.05)", "range(0.9, 0.975, 0.05)"),
    ],
)
def test_what_an_earlier_version_wrote_is_read_as_what_it_meant(then, now):
    assert update_description(then) == describe(read(now)) == now


@pytest.mark.parametrize(
    ("value", "name"), [(256, "256"), (1000.0, "1e3"), (None, "null"), (True, "true"), (7, "7"), ("large", "large")]
)
def test_an_option_is_meant_by_what_reads_as_its_name(value, name):
    assert find_option_name(value, ["1e3", "256", "a,b", "null", "small", "true"]) == name
