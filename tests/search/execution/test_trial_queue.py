"""Workers take trials from one study, and none is lost or taken twice."""

import socket
import threading
from datetime import UTC, datetime, timedelta

import pytest
from filelock import FileLock, Timeout
from omegaconf import OmegaConf
from optuna.trial import TrialState, create_trial
from sqlalchemy import event
from workers import CELLS, Same, at_random

from vbot_train.config.validation import compose_validated
from vbot_train.search.execution import worker_lock
from vbot_train.search.space.initial_points import InitialPoint
from vbot_train.search.space.proposals import GridProposals
from vbot_train.search.spec import count_workers
from vbot_train.study.attributes import CAUSE, LIVES, ORIGIN, SEED, SEEDS, STATUS, WORKER
from vbot_train.study.lives import compute_runtime_s, read_lives
from vbot_train.training.result import TrialResult


def test_the_cells_of_a_grid_are_taken_in_order_each_once(join, tmp_path):
    worker = join()
    for number, point in enumerate(CELLS):
        queued = worker.queue.take()
        assert (queued.trial.number, queued.candidate.params, queued.history) == (number, point, None)
        assert queued.directory == tmp_path / "trials" / f"00{number}"
        attributes = worker.attributes(number)
        assert attributes.keys() == {ORIGIN, SEED, WORKER, LIVES}
        assert (attributes[ORIGIN], attributes[SEED], attributes[WORKER]) == ("proposed", 42, worker.worker_lock.name)
        worker.end(queued)
    assert worker.queue.take() is None


def test_a_search_ends_at_its_total(join, line):
    worker = join(at_random(line), space=line, total=3)
    assert len(worker.work()) == 3
    assert len(worker.study.trials) == worker.queue.count_done() == 3
    assert len(join(at_random(line), space=line, total=5).work()) == 2
    assert join(at_random(line), space=line, total=2).work() == []


def test_trials_in_training_count_towards_the_total(join, line):
    worker, other = join(at_random(line), space=line, total=2), join(at_random(line), space=line, total=2)
    assert worker.queue.take() and other.queue.take()
    assert worker.queue.take() is None and other.queue.take() is None
    assert worker.queue.count_done() == 0


def test_workers_that_share_a_study_never_take_the_same_cell(join):
    first, second = join(), join()
    queue = [worker.queue.take() for worker in (first, second, second, first)]
    assert [queued.candidate.params for queued in queue] == CELLS
    assert [queued.trial.number for queued in queue] == [0, 1, 2, 3]
    assert first.queue.take() is None and second.queue.take() is None


def test_workers_at_the_same_time_take_each_cell_once(join):
    workers, points, start = [join(), join(), join()], [], threading.Barrier(3)

    def work(worker):
        start.wait()
        points.extend(worker.work())

    threads = [threading.Thread(target=work, args=(worker,)) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(points, key=CELLS.index) == CELLS
    assert len(workers[0].study.trials) == 4


def test_the_study_is_locked_while_a_trial_is_taken(join, tmp_path):
    class Trying(GridProposals):
        def draw(self, trials, taken, index):
            with pytest.raises(Timeout):
                FileLock(tmp_path / ".workers" / "study.lock").acquire(timeout=0)
            return super().draw(trials, taken, index)

    assert join(Trying(CELLS)).queue.take() is not None


@pytest.mark.parametrize(
    "step",
    [
        lambda worker, queued: worker.queue.take(),
        lambda worker, queued: worker.queue.enqueue([InitialPoint("mine", "enqueued", CELLS[3])]),
        lambda worker, queued: worker.queue.reporter.report(queued, 1, 2.0),
        lambda worker, queued: worker.end(queued),
    ],
    ids=["take", "enqueue", "report", "tell"],
)
def test_every_step_waits_for_the_worker_that_has_the_lock(join, monkeypatch, step):
    monkeypatch.setattr(worker_lock, "LOCK_TIMEOUT_S", 0.05)
    worker, other = join(), join()
    queued = worker.queue.take()
    with other.worker_lock.hold(), pytest.raises(Timeout):
        step(worker, queued)
    assert [trial.state for trial in worker.study.get_trials(deepcopy=False)] == [TrialState.RUNNING]
    step(worker, queued)


def test_a_random_search_tries_the_same_points_shared_interrupted_or_neither(join, line):
    expected = [at_random(line).draw([], {}, index) for index in range(4)]
    worker, gone = join(at_random(line), space=line), join(at_random(line), space=line)
    lost = gone.queue.take()
    stopped = worker.queue.take()
    gone.worker_lock.leave()
    worker.end(stopped, "interrupted")
    assert [lost.candidate.params, stopped.candidate.params] == expected[:2]
    assert worker.work() == [*expected[:2], *expected[2:]]


@pytest.mark.parametrize(
    ("status", "reward", "state", "value"),
    [
        ("completed", 2.5, TrialState.COMPLETE, 2.5),
        ("completed", None, TrialState.FAIL, None),  # the robots never came to where it is measured
        ("diverged", 2.5, TrialState.FAIL, None),
        ("timeout", 2.5, TrialState.FAIL, None),
        ("failed", 2.5, TrialState.FAIL, None),
    ],
)
def test_only_a_completed_trial_has_a_value_in_the_study(join, status, reward, state, value):
    worker = join()
    worker.end(worker.queue.take(), status, reward, lived_s=3.00049, cause="so it was")
    trial = worker.trial(0)
    assert (trial.state, trial.value) == (state, value)
    told = {key: trial.user_attrs[key] for key in (STATUS, CAUSE)}
    assert told == {STATUS: status, CAUSE: "so it was"}
    assert compute_runtime_s(trial) == pytest.approx(3.0, abs=0.001)


def test_a_trials_life_is_written_down_in_utc_when_it_begins_and_when_it_ends(join, zone):
    zone("Asia/Tokyo")
    worker, before = join(), datetime.now(UTC)
    queued = worker.queue.take()
    (life,) = read_lives(worker.trial(0))
    assert before - timedelta(seconds=0.001) <= life.start <= datetime.now(UTC) and life.end is None
    assert life.host == socket.gethostname() and worker.attributes(0)[LIVES][0]["start"].endswith("+00:00")
    worker.end(queued, lived_s=90.0, env_steps=5000)
    (life,) = read_lives(worker.trial(0))
    assert ((life.end - life.start).total_seconds(), life.env_steps) == (90.0, 5000)


def test_a_result_that_is_taken_over_took_no_time_and_no_env_steps(join, grid, tmp_path):
    history = tmp_path / "old"
    (history / ".hydra").mkdir(parents=True)
    OmegaConf.save(OmegaConf.create(grid.compose_candidate(CELLS[3]).config), history / ".hydra" / "config.yaml")
    TrialResult("completed", 0, 42).save(history)
    worker = join()
    worker.queue.enqueue([InitialPoint("old", "history", CELLS[3], histories={42: history})])
    worker.end(worker.queue.take(), lived_s=0.0, env_steps=5000)
    (life,) = read_lives(worker.trial(0))
    assert (life.end, life.env_steps) == (life.start, 0)


def test_a_configuration_proposed_again_becomes_a_replicate_on_the_next_seed(join):
    worker = join(Same(CELLS[0]), total=3)
    queue = [worker.queue.take() for _ in range(3)]
    assert [queued.candidate.config["seed"] for queued in queue] == [42, 43, 44]
    assert "seed=43" in queue[1].candidate.overrides


def test_each_seed_of_a_configuration_is_a_trial_next_to_the_others(join):
    worker = join(total=12, seeds_per_configuration=3)
    queue = [worker.queue.take() for _ in range(6)]
    assert [queued.candidate.params for queued in queue] == [CELLS[0]] * 3 + [CELLS[1]] * 3
    assert [queued.candidate.config["seed"] for queued in queue] == [42, 43, 44] * 2
    assert worker.attributes(1)[SEEDS] == [42, 43, 44]
    for queued in queue:
        worker.end(queued)
    assert len(worker.work()) == 6 and worker.queue.count_done() == 12


def test_two_workers_share_the_seeds_of_a_configuration(join):
    one, other = (join(total=12, seeds_per_configuration=3) for _ in range(2))
    seeds = [worker.queue.take().candidate.config["seed"] for worker in (one, other, one)]
    assert seeds == [42, 43, 44]


def test_a_replicate_of_a_configuration_on_several_seeds_takes_the_seeds_that_follow(join):
    worker = join(Same(CELLS[0]), total=9, seeds_per_configuration=3)
    assert [worker.queue.take().candidate.config["seed"] for _ in range(9)] == list(range(42, 51))
    assert worker.attributes(5)[SEEDS] == [45, 46, 47]


def test_a_worker_that_dies_as_it_queues_a_configuration_leaves_no_seed_out(join, monkeypatch):
    gone, queued = join(total=12, seeds_per_configuration=3), []
    queue = gone.queue._queue

    def die(*arguments):
        if len(queued) == 2:
            raise KeyboardInterrupt
        queued.append(queue(*arguments))

    monkeypatch.setattr(gone.queue, "_queue", die)
    with pytest.raises(KeyboardInterrupt):
        gone.queue.take()
    gone.worker_lock.leave()
    heir = join(total=12, seeds_per_configuration=3)
    queue = [heir.queue.take() for _ in range(4)]
    assert [queued.candidate.params for queued in queue] == [CELLS[0]] * 3 + [CELLS[1]]
    assert [queued.candidate.config["seed"] for queued in queue] == [42, 43, 44, 42]


def test_a_lost_seed_does_not_keep_the_others_from_being_trained(join):
    worker = join(total=3, seeds_per_configuration=3)
    worker.end(worker.queue.take(), "diverged")
    assert worker.work() == [CELLS[0]] * 2


def test_a_take_asks_the_database_as_often_late_as_early(join, line):
    worker, asked = join(at_random(line), space=line, total=100), []
    engine = worker.study._storage._backend.engine

    def note(connection, cursor, statement, *_):
        asked.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    counts = []
    for _ in range(60):
        before = len(asked)
        worker.end(worker.queue.take())
        counts.append(len(asked) - before)
    assert max(counts[-20:]) == max(counts[10:30])


def test_trials_that_a_script_added_or_left_running_are_neither_counted_nor_the_best_nor_trained(join, grid):
    worker = join(total=2)
    worker.study.add_trial(create_trial(value=99.0, params=CELLS[0], distributions=grid.distributions))
    worker.study.ask()
    assert worker.queue.find_best() is None and not worker.queue.has_completed()
    assert worker.work() == CELLS[:2]
    assert (worker.queue.count_done(), worker.queue.find_best()) == (2, (1.0, 2))


def test_the_best_is_the_configuration_with_the_best_mean_over_all_its_seeds(join):
    worker = join(total=4, seeds_per_configuration=2)
    worker.queue.enqueue([InitialPoint(name, "enqueued", CELLS[k]) for k, name in enumerate("ab")])
    worker.end(worker.queue.take(), reward=9.0)
    assert worker.queue.find_best() is None  # the other seed is missing
    for reward in (1.0, 6.0, 5.0):
        worker.end(worker.queue.take(), reward=reward)
    assert worker.queue.find_best() == (5.5, 2)


@pytest.mark.parametrize("params", [CELLS[0], {"ppo.rollouts": 17, "ppo.learning_epochs": 2}, {"x": "y"}])
def test_what_a_script_queued_is_neither_trained_nor_counted_nor_touched(join, params):
    worker = join(total=2)
    worker.study.enqueue_trial(params)
    queued = worker.trial(0)
    assert worker.work() == CELLS[:2]
    assert worker.trial(0) == queued and worker.queue.count_done() == 2


def test_rejected_draws_are_counted_in_the_study_over_all_workers(join):
    worker = join(Same(CELLS[0]))
    worker.study.set_user_attr("infeasible", {"mine": 10, "another": 1})
    worker.queue.take()
    join(Same(CELLS[0])).queue.take()
    assert worker.study.user_attrs["infeasible"] == {"mine": 14, "another": 1}
    worker.queue.take()
    assert worker.study.user_attrs["infeasible"]["mine"] == 16


def test_draws_are_counted_also_where_no_point_was_left(join):
    worker = join(Same(None))
    assert worker.queue.take() is None
    assert worker.study.user_attrs["infeasible"] == {"mine": 2}


@pytest.mark.parametrize(
    ("workers", "options", "count"),
    [
        ("auto", ["simulation=mujoco"], 3),
        ("auto", ["simulation=warp"], 1),
        ("auto", ["simulation=warp", "simulation.device=cpu"], 3),
        (2, ["simulation=warp"], 2),
    ],
)
def test_there_is_a_worker_per_core_but_a_single_one_on_a_gpu_unless_told_otherwise(
    monkeypatch, workers, options, count
):
    monkeypatch.setattr("vbot_train.search.spec.count_cores", lambda: 3)
    assert count_workers(workers, compose_validated(options).simulation) == count


@pytest.mark.parametrize(("workers", "others", "threads"), [(1, 0, None), (2, 0, 1), (1, 1, 1)])
def test_trials_that_share_a_machine_run_on_one_thread_each(join, workers, others, threads):
    *_, worker = [join(workers=workers) for _ in range(1 + others)]
    config = worker.queue.take().candidate.config
    assert config["training"]["torch_threads"] == config["simulation"]["threads"] == threads


def test_values_on_the_way_go_into_the_study(join):
    worker = join()
    queued = worker.queue.take()
    assert worker.queue.reporter.report(queued, 1, 2.0) is False
    assert worker.queue.reporter.report(queued, 2, None) is False
    assert worker.queue.reporter.report(queued, 3, 0.5) is False
    assert worker.trial(0).intermediate_values == {1: 2.0, 3: 0.5}
