"""How the physics is shared among threads."""

import math

import pytest

from vbot_train.env.simulation import choose_chunk_size


@pytest.mark.parametrize(
    ("robots", "threads", "expected"),
    [
        (1, 2, 1),
        (32, 2, 16),  # one chunk for each thread
        (40, 2, 20),
        (64, 3, 22),
        (32, 16, 2),  # no thread idles
        (512, 24, 22),
        (512, 2, 26),  # a tenth of each thread's 256
        (2048, 2, 103),
    ],
)
def test_few_robots_are_shared_evenly_and_many_in_tenths(robots, threads, expected):
    assert choose_chunk_size(robots, threads) == expected


@pytest.mark.parametrize("threads", [1, 2, 3, 16, 20, 24, 64])
@pytest.mark.parametrize("robots", [1, 31, 32, 100, 512, 2048])
def test_no_thread_steps_many_more_robots_than_its_share(robots, threads):
    chunk = choose_chunk_size(robots, threads)
    rounds = math.ceil(math.ceil(robots / chunk) / threads)
    assert rounds * chunk <= 1.1 * math.ceil(robots / threads) + 1
