"""When a search gives up."""

import time
from types import SimpleNamespace

import pytest

from vbot_train.search.execution.worker_pool import WorkerPool, count_evaluations, is_hopeless

CRASH = "failed: the trial's process ended with code 3, see train.log"


@pytest.mark.parametrize(
    ("causes", "hopeless"),
    [
        ([CRASH] * 3, True),
        (["diverged: reward 1e9 at 10", "diverged: reward 2.5e9 at 20", "diverged: reward -3 at 5"], True),
        ([f"diverged: the loss is {x} in update {n}" for n, x in enumerate(("nan", "-inf", "-1e+30"))], True),
        ([f"failed: <Box at {at}> is closed" for at in ("0x7f3a", "0x7f9e", "0x1c")], True),
        ([f"failed: no mod{end}l.pt" for end in ("e", ".", "ee")], False),  # these differ in letters
        ([f"failed: reward {x}" for x in ("-3", "0.5", "2e-3")], True),
        ([CRASH] * 2, False),  # may be chance
        ([CRASH] * 4, False),  # said before, or not at the start
        ([CRASH, CRASH, "diverged: NaN"], False),
        ([CRASH, None, CRASH], False),
        ([None, None, None], False),
    ],
)
def test_three_equal_failures_at_the_start_are_hopeless(causes, hopeless):
    assert is_hopeless(causes) is hopeless


@pytest.mark.parametrize(("env_steps", "expected"), [(100_000, 5), (1_000, 3)])  # the second: 3 updates of 16 x 20
def test_a_run_evaluates_no_more_often_than_it_updates(env_steps, expected):
    training = {"env_steps": env_steps, "num_envs": 16, "evaluations": 5}
    assert count_evaluations({"training": training, "ppo": {"rollouts": 20}}) == expected


def test_a_budget_is_spent_while_the_host_sleeps(monkeypatch):
    """The host sleeps for 200 s of the 100 s that are left, in which no clock but that on the wall goes on."""
    queue = SimpleNamespace(take=lambda: None, others_train=True, compute_left_s=lambda: 100.0, out_of_time=False)
    begun = time.time()
    clock = iter([begun, begun + 200.0])
    monkeypatch.setattr(time, "time", lambda: next(clock, begun + 200.0))
    polls = iter([None])
    monkeypatch.setattr(time, "sleep", lambda seconds: next(polls))
    WorkerPool(queue, metric="", workers=1, stop=SimpleNamespace(number=None), record=None, display=None).run()
    assert queue.out_of_time
