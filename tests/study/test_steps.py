"""The values of a range with steps, by hand."""

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from vbot_train.study.steps import compute_step, correct_params, count_steps

SHARE = FloatDistribution(0.9, 0.95, step=0.05)


@pytest.mark.parametrize(
    ("low", "high", "step", "values"),
    [
        (0.9, 0.95, 0.05, [0.9, 0.95]),  # 0.9 + 0.05 is 0.9500000000000001
        (0.1, 0.3, 0.1, [0.1, 0.2, 0.3]),  # 0.1 + 2 * 0.1 is 0.30000000000000004
        (-0.3, 0.3, 0.1, [-0.3, -0.2, -0.1, 0.0, 0.1, 0.2, 0.3]),  # -0.3 + 3 * 0.1 is 5.6e-17
        (1e-5, 3e-5, 1e-5, [1e-5, 2e-5, 3e-5]),
        (0.5, 0.5, 1.0, [0.5]),
    ],
)
def test_a_step_is_the_number_that_a_person_writes(low, high, step, values):
    distribution = FloatDistribution(low, high, step=step)
    assert [compute_step(distribution, number) for number in range(count_steps(distribution))] == values


def test_what_was_computed_from_a_step_is_the_step_and_everything_else_is_itself():
    ranges = {
        "share": SHARE,
        "zero": FloatDistribution(-0.3, 0.3, step=0.1),
        "line": FloatDistribution(0, 1),
        "whole": IntDistribution(1, 9),
        "word": CategoricalDistribution(["a"]),
        "unset": SHARE,
    }
    computed = {"share": 0.9 + 0.05, "zero": -0.3 + 3 * 0.1, "line": 0.1 + 0.2, "whole": 3, "word": "a"}
    assert correct_params(computed, ranges) == {**computed, "share": 0.95, "zero": 0.0}


@pytest.mark.parametrize("value", [0.93, 0.8, 2.0, 1e300, float("inf"), float("nan")])
def test_a_value_that_is_no_step_stays_as_it_is(value):
    assert repr(correct_params({"x": value}, {"x": SHARE})["x"]) == repr(value)
