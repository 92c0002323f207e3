"""Initial points are queued first, each seed once, and the results of earlier trials are taken over where they hold."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf
from optuna.trial import TrialState
from workers import CELLS

from vbot_train.search.space.initial_points import InitialPoint
from vbot_train.study.attributes import HISTORY, ORIGIN, SEED
from vbot_train.training.result import TrialResult


def test_seeds_that_are_there_already_are_not_queued_again(join):
    worker = join(total=4, seeds_per_configuration=3)
    worker.queue.enqueue([InitialPoint("one", "default", CELLS[0])])
    worker.queue.enqueue([InitialPoint("one", "default", CELLS[0]), InitialPoint("two", "enqueued", CELLS[1])])
    seeds = [(trial.params["ppo.learning_epochs"], trial.user_attrs[SEED]) for trial in worker.study.trials]
    assert seeds == [(2, 42), (2, 43), (2, 44), (4, 42), (4, 43), (4, 44)]


def test_results_on_seeds_that_this_search_does_not_train_are_not_taken_over(join, tmp_path):
    worker = join(total=4, seeds_per_configuration=2)
    worker.queue.enqueue([InitialPoint("old", "enqueued", CELLS[0], histories={43: tmp_path, 44: tmp_path})])
    assert [trial.user_attrs[SEED] for trial in worker.study.trials] == [42, 43]
    assert [HISTORY in trial.user_attrs for trial in worker.study.trials] == [False, True]


def test_a_training_whose_files_cannot_be_read_any_more_is_queued_again(join):
    worker, point = join(), InitialPoint("mine", "confirm", CELLS[3], seed=1001)
    worker.queue.enqueue([point])
    worker.end(worker.queue.take())
    worker.queue.enqueue([point])
    assert len(worker.study.trials) == 1
    worker.queue.enqueue([point], but=[0])
    assert worker.trial(1).state == TrialState.WAITING and worker.attributes(1)[SEED] == 1001


def test_an_earlier_trial_whose_result_cannot_be_read_is_trained(join, grid, tmp_path):
    history = tmp_path / "old" / "trials" / "005"
    (history / ".hydra").mkdir(parents=True)
    OmegaConf.save(OmegaConf.create(grid.compose_candidate(CELLS[3]).config), history / ".hydra" / "config.yaml")
    worker = join()
    worker.queue.enqueue([InitialPoint("old", "history", CELLS[3], histories={42: history})])
    assert worker.queue.take().history is None


def test_initial_points_are_taken_first_and_enqueued_once(join, tmp_path):
    points = [
        InitialPoint("default", "default", CELLS[2]),
        InitialPoint("outside", "enqueued", None, "outside"),
        InitialPoint("mine", "enqueued", CELLS[3]),
    ]
    worker = join()
    worker.queue.enqueue(points)
    assert worker.queue.take().candidate.params == CELLS[2]
    other = join()
    other.queue.enqueue(points)
    assert [other.queue.take().candidate.params for _ in range(3)] == [CELLS[3], CELLS[0], CELLS[1]]
    assert other.queue.take() is None
    assert [worker.attributes(number)[ORIGIN] for number in range(4)] == ["default", "enqueued", "proposed", "proposed"]
    assert worker.attributes(0)[SEED] == 42


def test_initial_points_beyond_the_total_wait(join):
    worker = join(total=1)
    worker.queue.enqueue([InitialPoint("a", "default", CELLS[2]), InitialPoint("b", "enqueued", CELLS[3])])
    assert worker.work() == [CELLS[2]]
    assert join(total=2).work() == [CELLS[3]]


@pytest.mark.parametrize(
    ("changes", "taken_over"),
    [
        ({}, True),
        ({"workers": 9, "training.torch_threads": 2, "simulation.threads": 2}, True),
        ({"seed": 43}, False),
        ({"ppo.rollouts": 16}, False),
        ({"evaluation.seed": 7}, False),
        (None, False),  # nothing recorded
    ],
)
def test_an_earlier_trials_result_is_taken_over_where_it_was_trained_on_just_that(
    join, grid, tmp_path, changes, taken_over
):
    history = tmp_path / "old" / "trials" / "005"
    if changes is not None:
        config = OmegaConf.create(grid.compose_candidate(CELLS[3]).config)
        for key, value in changes.items():
            OmegaConf.update(config, key, value)
        (history / ".hydra").mkdir(parents=True)
        OmegaConf.save(config, history / ".hydra" / "config.yaml")
        TrialResult("completed", 5, 42, [42]).save(history)
    worker = join()
    worker.queue.enqueue([InitialPoint("old", "history", CELLS[3], histories={42: history})])
    queued = worker.queue.take()
    assert queued.candidate.params == CELLS[3]
    assert queued.history == (history if taken_over else None)


def test_an_earlier_trial_is_written_down_with_its_whole_path(join, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    worker = join()
    worker.queue.enqueue([InitialPoint("old", "history", CELLS[3], histories={42: Path("multirun/old/trials/005")})])
    assert worker.attributes(0)[HISTORY] == f"{tmp_path}/multirun/old/trials/005"
