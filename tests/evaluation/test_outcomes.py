"""Outcomes by start, counted by hand."""

import pytest
import torch
from torch import tensor

from vbot_train.env.episodes import Episodes
from vbot_train.evaluation.held_out import summarize
from vbot_train.evaluation.outcomes import OUTCOMES, classify_outcomes, count_outcomes, find_bins


def episodes(reached, fell, left, distance_m, bearing_deg):
    zeros = torch.zeros(len(reached))
    return Episodes(
        robot=torch.arange(len(reached)),
        reward=zeros,
        reward_terms=zeros.unsqueeze(1),
        length_s=zeros,
        reached=tensor(reached, dtype=torch.bool),
        fenced=zeros.bool(),
        fell=tensor(fell, dtype=torch.bool),
        left=tensor(left, dtype=torch.bool),
        time_to_goal_s=zeros,
        final_distance_m=zeros,
        start_distance_m=tensor(distance_m),
        start_bearing_rad=tensor(bearing_deg).deg2rad(),
    )


@pytest.fixture
def eight():
    """Every combination of reached, fell and left, from 2 to 4 m, the goal all around."""
    return episodes(
        reached=[0, 1, 0, 1, 0, 1, 0, 1],
        fell=[0, 0, 1, 1, 0, 0, 1, 1],
        left=[0, 0, 0, 0, 1, 1, 1, 1],
        distance_m=[2.0, 2.4, 2.6, 3.1, 3.3, 3.6, 3.9, 4.0],
        bearing_deg=[10.0, -44.0, 46.0, -100.0, 134.0, 136.0, -179.0, 180.0],
    )


def test_an_episode_has_one_outcome_and_a_fall_outweighs_leaving_and_leaving_arrival(eight):
    ended = [OUTCOMES[index] for index in classify_outcomes(eight)]
    assert ended == ["timed_out", "reached", "fell", "fell", "left", "left", "fell", "fell"]


def test_the_share_that_reached_is_the_success_rate(eight):
    assert (
        (classify_outcomes(eight) == OUTCOMES.index("reached")).float().mean()
        == summarize(eight)["success_rate"]
        == 0.125
    )


def test_a_value_on_an_edge_is_in_the_upper_bin_and_one_outside_in_the_nearest():
    assert find_bins(tensor([1.0, 2.0, 2.5, 3.0, 4.0, 9.0]), [2.0, 3.0, 4.0]).tolist() == [0, 0, 0, 1, 1, 1]


def cell_of(cells, distance_m, bearing_deg):
    [cell] = [cell for cell in cells if (cell.distance_m, cell.bearing_deg) == (distance_m, bearing_deg)]
    return cell.episodes, *cell.counts.values()


def test_outcomes_are_counted_by_distance_and_bearing_and_both(eight):
    cells = count_outcomes(eight, min_radius_m=2.0, max_radius_m=4.0)
    assert len(cells) == (1 + 4) * (1 + 3)
    assert cell_of(cells, None, None) == (8, 1, 4, 2, 1)  # episodes, reached, fell, left, timed out
    assert cell_of(cells, (2.0, 2.5), None) == (2, 1, 0, 0, 1)
    assert cell_of(cells, (3.0, 3.5), None) == (2, 0, 1, 1, 0)
    assert cell_of(cells, None, (0.0, 45.0)) == (2, 1, 0, 0, 1)  # 10 and -44 degrees
    assert cell_of(cells, None, (45.0, 135.0)) == (3, 0, 2, 1, 0)  # 46, -100, 134
    assert cell_of(cells, None, (135.0, 180.0)) == (3, 0, 2, 1, 0)  # 136, -179, 180
    assert cell_of(cells, (3.5, 4.0), (135.0, 180.0)) == (3, 0, 2, 1, 0)
    assert cell_of(cells, (3.5, 4.0), (0.0, 45.0)) == (0, 0, 0, 0, 0)


def test_starts_at_one_single_distance_are_counted_once(eight):
    cells = count_outcomes(eight, min_radius_m=3.0, max_radius_m=3.0)
    assert sum(cell.episodes for cell in cells if cell.distance_m and not cell.bearing_deg) == 8
