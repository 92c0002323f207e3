"""How the physics is shared among threads."""

import pytest

from vbot_train.env.simulation import chunk_size


@pytest.mark.parametrize(
    "robots, threads, expected",
    [
        (1, 2, 1),
        (32, 2, 16),  # one chunk for each thread
        (33, 2, 16),
        (32, 16, 2),  # no thread idles
        (512, 2, 25),  # a tenth of each thread's share, so that no thread waits long for the other
        (2048, 2, 102),
    ],
)
def test_few_robots_are_shared_evenly_and_many_in_tenths(robots, threads, expected):
    assert chunk_size(robots, threads) == expected
