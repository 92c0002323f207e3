"""Where episodes start."""

import math

import pytest
import torch

from vbot_train.env.spawn import Spawn

COUNT = 10_000
SD = math.sqrt(0.25 / COUNT)  # of a share whose chance is one half: 0.005
RING = Spawn(min_radius_m=2.0, max_radius_m=5.0, joint_noise_rad=0.05)


@pytest.fixture
def starts():
    return RING.sample(COUNT, torch.Generator().manual_seed(0))


def test_shapes(starts):
    assert [tuple(drawn.shape) for drawn in starts] == [(COUNT, 2), (COUNT,), (COUNT, 12)]


def test_starts_lie_inside_the_ring(starts):
    radius = starts[0].norm(dim=1)
    assert radius.min() >= 2.0 - 1e-5 and radius.max() <= 5.0 + 1e-5


def test_half_of_the_starts_lie_inside_the_radius_that_halves_the_area(starts):
    median = math.sqrt((2.0**2 + 5.0**2) / 2)  # 3.81 m
    share = (starts[0].norm(dim=1) < median).float().mean()
    assert share == pytest.approx(0.5, abs=4 * SD)


@pytest.mark.parametrize("axis", [0, 1])
def test_no_side_of_the_ring_is_favoured(starts, axis):
    assert (starts[0][:, axis] > 0).float().mean() == pytest.approx(0.5, abs=4 * SD)


def test_yaw_is_uniform_over_the_circle_and_independent_of_the_place(starts):
    place, yaw, _ = starts
    assert yaw.abs().max() <= math.pi
    for one_half in (yaw > 0, yaw.abs() < math.pi / 2, (yaw > 0) == (place[:, 1] > 0)):
        assert one_half.float().mean() == pytest.approx(0.5, abs=4 * SD)


def test_joint_offsets_fill_the_noise_range(starts):
    assert starts[2].min() == pytest.approx(-0.05, abs=1e-4)
    assert starts[2].max() == pytest.approx(0.05, abs=1e-4)


def test_the_same_seed_draws_the_same_starts_and_another_seed_others(starts):
    same, other = (RING.sample(COUNT, torch.Generator().manual_seed(seed)) for seed in (0, 1))
    assert all(torch.equal(a, b) for a, b in zip(starts, same, strict=True))
    assert not torch.equal(starts[0], other[0])


def test_a_ring_without_width_is_a_circle():
    place, _, _ = Spawn(3.0, 3.0, 0.0).sample(100, torch.Generator().manual_seed(0))
    torch.testing.assert_close(place.norm(dim=1), torch.full((100,), 3.0))
