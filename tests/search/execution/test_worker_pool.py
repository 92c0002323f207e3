"""When a search gives up."""

import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from vbot_train.search.execution.worker_pool import RunningTrial, WorkerPool, copy_run, is_hopeless

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


def test_a_run_that_was_copied_in_part_is_copied_whole(tmp_path):
    source, target = tmp_path / "old", tmp_path / "new"
    (source / "checkpoints").mkdir(parents=True)
    for name in ("progress.csv", "checkpoints/best.pt", "checkpoints/last.pt", "result.yaml"):
        (source / name).write_text(name, encoding="utf-8")
    (target / "checkpoints").mkdir(parents=True)
    (target / "checkpoints" / "best.pt").write_text("hal", encoding="utf-8")
    for _ in range(2):
        copy_run(source, target)
    copied = {path.relative_to(target).as_posix(): path.read_text("utf-8") for path in target.rglob("*.*")}
    assert copied == {name: name for name in ("progress.csv", "checkpoints/best.pt", "checkpoints/last.pt")}


def test_a_trial_that_finds_the_disk_full_ends_the_search_and_is_continued_later():
    fault = "OSError: [Errno 28] No space left on device"
    process = SimpleNamespace(has_ended=lambda: True, read_messages=list, disk_fault=fault, asked=None)
    process.env_steps = process.state_env_steps = process.from_env_steps = 7
    queued = SimpleNamespace(trial=SimpleNamespace(number=3), directory=Path("trials/003"))
    put_back = []
    queue = SimpleNamespace(reporter=SimpleNamespace(end=lambda queued, process: None))
    display = SimpleNamespace(put_back=lambda number, *_: put_back.append(number))
    stop = SimpleNamespace(number=None, trials=[process])
    pool = WorkerPool(queue, metric="", workers=1, stop=stop, record=None, display=display)
    pool._running.append(RunningTrial(queued, process))
    with pytest.raises(OSError, match=r"trials/003: OSError: \[Errno 28\] No space left on device"):
        pool._watch(pool._running[0])
    assert put_back == [3] and pool._running == []


def test_a_search_whose_first_ends_are_all_bad_goes_on_if_others_are_paused():
    process = SimpleNamespace(asked=("paused", "others are better"), env_steps=7)
    queued = SimpleNamespace(trial=SimpleNamespace(number=3), candidate=SimpleNamespace(params={"x": 1}))
    reporter = SimpleNamespace(end=lambda queued, process: None)
    queue = SimpleNamespace(reporter=reporter, count_done=lambda: 0, find_best=lambda: None)
    display = SimpleNamespace(pause=lambda *_: None, show_total=lambda *_: None)
    stop = SimpleNamespace(number=None, trials=[process])
    pool = WorkerPool(queue, metric="", workers=1, stop=stop, record=None, display=display)
    pool._running.append(RunningTrial(queued, process))
    pool._finish(pool._running[0])
    assert list(pool._causes.values()) == [None]
    assert is_hopeless([*pool._causes.values(), "diverged", "diverged"]) is False
