"""The policy's distribution, against torch's own."""

import math

import pytest
import torch
from torch.distributions import Normal
from torch.testing import assert_close

from vbot_train.agent.networks import Policy, Spaces, Value


@pytest.fixture
def policy():
    torch.manual_seed(0)
    return Policy(Spaces.of(54, 12), [16], initial_std=0.4, device="cpu")


@pytest.fixture
def seen():
    return torch.randn(1000, 54, generator=torch.Generator().manual_seed(1))


def test_the_log_density_of_taken_actions_is_that_of_a_normal_distribution(policy, seen):
    taken = torch.randn(1000, 12, generator=torch.Generator().manual_seed(2))
    action, outputs = policy.act({"observations": seen, "taken_actions": taken})
    expected = Normal(policy.net(seen), 0.4).log_prob(taken).sum(dim=1, keepdim=True)
    assert action is taken
    assert_close(outputs["log_prob"], expected)


def test_sampled_actions_lie_around_their_means_as_wide_as_the_standard_deviation(policy, seen):
    action, outputs = policy.act({"observations": seen})
    deviation = action - outputs["mean_actions"]
    assert deviation.mean().item() == pytest.approx(0.0, abs=4 * 0.4 / math.sqrt(12_000))
    assert deviation.std().item() == pytest.approx(0.4, abs=4 * 0.4 / math.sqrt(24_000))
    assert_close(outputs["log_prob"], policy.act({"observations": seen, "taken_actions": action})[1]["log_prob"])


def test_the_entropy_is_that_of_twelve_normal_distributions(policy):
    assert_close(policy.get_entropy(), Normal(torch.zeros(12), 0.4).entropy().sum())


def test_the_standard_deviation_keeps_its_bounds(policy):
    with torch.no_grad():
        policy.log_std[0], policy.log_std[1] = -9.0, 5.0
    assert_close(policy.std()[:3], torch.tensor([math.exp(-4.0), math.exp(1.0), 0.4]))


def test_a_gradient_of_the_density_pulls_the_mean_towards_a_taken_action(policy, seen):
    taken = policy.net(seen).detach() + 1.0
    policy.act({"observations": seen, "taken_actions": taken})[1]["log_prob"].mean().backward()
    bias = policy.net[-1].bias.grad
    assert_close(bias, torch.full((12,), 1.0 / 0.4**2))  # d/dm of -(a - m)^2 / 2 s^2


def test_values_are_float32_numbers_of_a_float32_network_unless_they_are_learnt_from(seen):
    value = Value(Spaces.of(54, 12), [16], device="cpu")
    exact = value.net(seen)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        learning, _ = value.act({"observations": seen})
        with torch.no_grad():
            answer, _ = value.act({"observations": seen})
    assert answer.dtype == learning.dtype == torch.float32
    assert torch.equal(answer, exact)
    assert not torch.equal(learning, exact)  # by bfloat16: its products are cheap
