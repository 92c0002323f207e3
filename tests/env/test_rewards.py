"""Every reward term against a value worked out by hand."""

import math
import re
from dataclasses import replace

import pytest
import torch
from omegaconf import OmegaConf
from torch import tensor
from torch.testing import assert_close

from vbot_train.config.composition import CONF_DIR
from vbot_train.config.reward_terms import Approach, PositionTracking, Reward, Term
from vbot_train.env import rewards

E = math.e
NOWHERE = torch.tensor([False, False])
STOP = {"max_speed_m_s": 0.5, "budget_s": 0.5}


def joints(first, second):
    return tensor([[first] * 12, [second] * 12])


BY_HAND = {  # term: what differs from two robots at rest (one on its goal, one 5 m away), kernel, value of each robot
    "position_tracking": ({}, {"sigma_m": 2.5}, [1.0, E**-2]),  # e^0; e^(-5 / 2.5)
    "fine_position_tracking": (
        {"goal_distance": tensor([0.25, 2.0]), "goal_reached_before": tensor([True, True])},
        {"sigma_m": 0.5, "range_m": 2.5},
        [E**-0.5, E**-4],  # 0.25 / 0.5; 2 / 0.5
    ),
    "heading_tracking": ({"goal_bearing": tensor([0.0, -1.0])}, {"sigma_rad": 0.5}, [0.0, E**-2]),  # 1 / 0.5
    "forward_velocity": (  # the goal lies towards (-0.6, -0.8): -0.5 x -0.6 + -0.25 x -0.8
        {"base_lin_vel": tensor([[0.5, 0.0, 0.0], [-0.5, -0.25, 0.0]])},
        {"min_m_s": -1.0, "max_m_s": 0.6},
        [0.0, 0.5],
    ),
    "distance_progress": ({}, {"min_share": -0.5, "max_share": 1.0}, [0.0, 0.5]),  # 1 - 5 m / 10 m
    "alive_bonus": ({"terminated": tensor([False, True])}, {}, [1.0, 0.0]),
    "approach": ({"goal_speed": tensor([1.0, 0.75])}, {"max_m_s": 1.5}, [0.0, 0.75]),
    "approach_ahead": (  # the first walks backwards; 60 degrees off is half the pay: 2.0, cut to 1.5, x 0.5
        {"goal_speed": tensor([1.0, 2.0]), "goal_bearing": tensor([math.pi, math.pi / 3]), "goal_reached": NOWHERE},
        {"max_m_s": 1.5},
        [0.0, 0.75],
    ),
    "arrival_bonus": ({"first_arrival": tensor([True, False])}, {}, [1.0, 0.0]),
    "inner_fence_bonus": ({"first_fence": tensor([True, False])}, {}, [1.0, 0.0]),
    "stopping": (  # speed 0.2 and yaw rate 0.1: (0.8 + 1.2) / e
        {"base_lin_vel": tensor([[0.12, 0.16, 9.0], [0.0, 0.0, 0.0]]), "base_ang_vel_b": tensor([[9.0, 9.0, 0.1]] * 2)},
        STOP,
        [2 / E, 0.0],
    ),
    "zero_turning": ({"base_ang_vel_b": tensor([[9.0, 9.0, -0.04]] * 2)}, {**STOP, "max_rad_s": 0.05}, [1.0, 0.0]),
    "near_target_speed": (  # wanted 0.05 at d = 0 and 0.5 x 0.8 = 0.4 at d = 0.8: (0.25 - 0.05)^2; (1 - 0.4)^2
        {"base_lin_vel": tensor([[0.15, 0.2, 9.0], [0.6, 0.8, 9.0]]), "goal_distance": tensor([0.0, 0.8])},
        {"slope_per_s": 0.5, "min_m_s": 0.05, "max_m_s": 0.6},
        [0.04, 0.36],
    ),
    "departure": ({"goal_speed": tensor([-1.5, -1.5])}, {"min_m_s": 1.0}, [1.5, 0.0]),  # the second was never there
    "boundary": ({}, {"start_radius_m": 3.0}, [0.0, 2.0]),  # 5 m - 3 m
    "orientation": ({"projected_gravity_b": tensor([[0.0, 0.0, 1.0], [0.48, -0.36, -0.8]])}, {}, [0.0, 0.36]),
    "lin_vel_z": ({"base_lin_vel": tensor([[9.0, 9.0, 0.0], [0.0, 0.0, -0.5]])}, {}, [0.0, 0.25]),
    "ang_vel_xy": ({"base_ang_vel_b": tensor([[0.0, 0.0, 9.0], [0.3, -0.4, 0.0]])}, {}, [0.0, 0.25]),
    "torques": ({"torque": joints(0.0, -2.0)}, {}, [0.0, 48.0]),  # 12 x 2^2
    "dof_vel": ({"joint_vel": joints(0.0, -0.5)}, {}, [0.0, 3.0]),  # 12 x 0.5^2
    "dof_acc": ({"joint_vel": joints(7.0, 0.5), "prev_joint_vel": joints(7.0, -0.5)}, {}, [0.0, 12.0]),  # 12 x 1^2
    "action_rate": ({"action": joints(1.0, 0.25), "prev_action": joints(1.0, -0.25)}, {}, [0.0, 3.0]),  # 12 x 0.5^2
    "termination": ({"terminated": tensor([False, True])}, {}, [0.0, 1.0]),
}


@pytest.mark.parametrize("name", rewards.TERMS)
def test_term_has_the_value_worked_out_by_hand(name, state):
    changes, kernel, expected = BY_HAND[name]
    assert_close(rewards.TERMS[name](replace(state, **changes), **kernel) * 1.0, tensor(expected))


@pytest.mark.parametrize("reached", [False, True])
@pytest.mark.parametrize(
    "name", ["heading_tracking", "forward_velocity", "distance_progress", "approach", "approach_ahead"]
)
def test_pull_towards_the_goal_is_paid_outside_the_goal_radius_only(name, reached, state):
    changes, kernel, (_, outside) = BY_HAND[name]
    there = replace(state, **changes | {"goal_reached": tensor([True, reached])})
    assert_close(rewards.TERMS[name](there, **kernel)[1], tensor(0.0 if reached else outside))


@pytest.mark.parametrize(
    ("term", "changes", "kernel", "expected"),
    [  # robot 1, 5 m from its goal; each value lies outside the bounds of the kernel
        ("forward_velocity", {"base_lin_vel": tensor([[-3.0, -4.0, 0.0]] * 2)}, {"min_m_s": -1.0, "max_m_s": 0.6}, 0.6),
        ("forward_velocity", {"base_lin_vel": tensor([[3.0, 4.0, 0.0]] * 2)}, {"min_m_s": -1.0, "max_m_s": 0.6}, -1.0),
        ("distance_progress", {"start_distance": tensor([2.0, 2.0])}, {"min_share": -0.5, "max_share": 1.0}, -0.5),
        ("distance_progress", {"goal_distance": tensor([0.0, 1.0])}, {"min_share": -0.5, "max_share": 0.7}, 0.7),
        ("approach", {"goal_speed": tensor([4.0, 4.0])}, {"max_m_s": 1.5}, 1.5),
        ("approach", {"goal_speed": tensor([-1.0, -1.0])}, {"max_m_s": 1.5}, 0.0),
    ],
)
def test_clipped_terms_stop_at_their_bounds(term, changes, kernel, expected, state):
    assert_close(rewards.TERMS[term](replace(state, **changes), **kernel)[1], tensor(expected))


def test_fine_position_tracking_is_zero_before_the_first_arrival_and_out_of_range(state):
    before = replace(state, goal_distance=tensor([0.6, 2.6]), goal_reached_before=tensor([False, True]))
    assert rewards.fine_position_tracking(before, sigma_m=0.5, range_m=2.5).tolist() == [0.0, 0.0]


def test_slow_robots_pay_nothing_near_the_target(state):
    slow = replace(state, base_lin_vel=tensor([[0.04, 0.0, 0.0], [0.59, 0.0, 0.0]]))  # wanted: 0.05 and, far away, 0.6
    assert rewards.near_target_speed(slow, slope_per_s=0.5, min_m_s=0.05, max_m_s=0.6).tolist() == [0.0, 0.0]


def test_drifting_slowly_off_the_goal_is_no_departure(state):
    assert rewards.departure(replace(state, goal_speed=tensor([-0.9, 0.9])), min_m_s=1.0).tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    "term", [rewards.stopping, lambda state, **gate: rewards.zero_turning(state, **gate, max_rad_s=1)]
)
@pytest.mark.parametrize(
    ("changes", "open_"),
    [
        ({"goal_reached_for_s": tensor([0.5, 0.0])}, True),
        ({"goal_reached_for_s": tensor([0.52, 0.0])}, False),  # one control step past the budget
        ({"base_lin_vel": tensor([[0.49, 0.0, 0.0]] * 2)}, True),
        ({"base_lin_vel": tensor([[0.51, 0.0, 0.0]] * 2)}, False),
        ({"goal_reached": tensor([False, False])}, False),
    ],
)
def test_stop_rewards_need_the_goal_low_speed_and_a_budget_left(term, changes, open_, state):
    assert (term(replace(state, **changes), **STOP)[0] > 0) == open_


def test_zero_turning_needs_a_yaw_rate_below_its_bound(state):
    turning = replace(state, base_ang_vel_b=tensor([[0.0, 0.0, -0.06]] * 2))
    assert rewards.zero_turning(turning, **STOP, max_rad_s=0.05)[0] == 0


def test_rates_scale_with_weight_and_dt_and_events_with_weight_alone(state):
    terms = {"termination": Term(weight=-5.0), "position_tracking": PositionTracking(weight=2.0, sigma_m=5.0)}
    rows = rewards.Rewards(terms, dt_s=0.02)(replace(state, terminated=tensor([True, False])))
    assert_close(rows, tensor([[-5.0, 0.0], [0.04, 0.04 / E]]))  # 2 x 0.02 x e^0; 2 x 0.02 x e^(-5 / 5)


def test_every_term_of_the_schema_has_a_kernel():
    assert rewards.TERMS.keys() == Reward.model_fields.keys()
    assert len(rewards.TERMS) == 23


def test_a_kernel_whose_arguments_differ_from_its_model_is_refused():
    def approach(state, *, speed_m_s):
        return state.goal_speed.clamp(max=speed_m_s)

    with pytest.raises(TypeError, match=r"approach: takes \['speed_m_s'\], its model Approach has other fields"):
        rewards.rate(Approach)(approach)


@pytest.mark.parametrize("option", ["default", "predecessor"])
def test_reward_option_lists_every_term_and_marks_it_rate_or_event(option):
    path = CONF_DIR / "reward" / f"{option}.yaml"
    marks = dict(re.findall(r"^(\w+): .*# (rate|event)\b", path.read_text(encoding="utf-8"), re.MULTILINE))
    assert OmegaConf.load(path).keys() == marks.keys() == rewards.TERMS.keys()
    assert {name for name, mark in marks.items() if mark == "event"} == rewards.EVENTS


@pytest.mark.parametrize("name", rewards.TERMS)
def test_term_of_the_config_gives_one_finite_number_per_robot(name, state, config):
    kernel = {key: value for key, value in config["reward"][name].items() if key != "weight"}
    value = rewards.TERMS[name](state, **kernel)
    assert value.shape == (2,)
    assert torch.isfinite(value * 1.0).all()
