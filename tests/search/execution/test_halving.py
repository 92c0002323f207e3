"""The trial queue with the scheduler: pause, promote, several seeds, several workers, a search that ends."""

import pytest
from optuna.trial import TrialState
from workers import CELLS, Same

from vbot_train.search.execution import budget
from vbot_train.study.attributes import PROMOTED, STATUS
from vbot_train.study.plan import Confirm, Plan
from vbot_train.study.timing import list_spans

RUNGS = [
    "scheduler=halving",
    "scheduler.rungs=[0.25,0.5]",
    "training.evaluations=4",
    "ppo.rollouts=8",
]  # rungs at the evaluations 1 and 2


def train(worker, values, evaluation_s=0.1):
    """Train the next trial; at its evaluations it has these values. Returns its number, how it ended, and where."""
    queued = worker.queue.take()
    if queued is None:
        return None
    done = len(worker.trial(queued.trial.number).intermediate_values)
    for evaluation, value in enumerate(values[queued.trial.number], start=1):
        if worker.queue.reporter.report(queued, evaluation, value):
            steps, lived_s = 250 * evaluation, evaluation_s * (evaluation - done)
            worker.end(queued, "paused", cause="others are better", env_steps=steps, lived_s=lived_s)
            return queued.trial.number, "paused", evaluation
    worker.end(queued, "completed", values[queued.trial.number][-1], env_steps=1000, lived_s=evaluation_s * (4 - done))
    return queued.trial.number, "completed", 4


def curves(*finals):
    return [[final / 4, final / 2, final * 3 / 4, final] for final in finals]


def test_a_trial_waits_at_its_rung_and_goes_on_in_place_when_it_is_among_the_best(join):
    worker = join(overrides=RUNGS, total=4)
    lives = [train(worker, curves(1.0, 3.0, 2.0, 0.0)) for _ in range(6)]
    assert lives[:4] == [(0, "paused", 1), (1, "paused", 1), (2, "paused", 1), (1, "paused", 2)]
    assert lives[4] == (3, "paused", 1)  # one of four may pass, and that one is trial 1
    trial = worker.trial(1)
    assert (trial.state, trial.user_attrs[STATUS], trial.user_attrs[PROMOTED]) == (TrialState.COMPLETE, "completed", 2)
    assert trial.intermediate_values == {1: 0.75, 2: 1.5, 3: 2.25, 4: 3.0}
    assert lives[5] == (1, "completed", 4)  # nothing else was left, so the best at the second rung went on
    assert train(worker, curves(1.0, 3.0, 2.0, 0.0)) is None


def test_a_trial_that_is_among_the_best_when_it_arrives_is_not_paused(join):
    worker = join(overrides=RUNGS, total=4)
    for _ in range(2):
        train(worker, curves(1.0, 2.0, 9.0, 0.0))
    assert train(worker, curves(1.0, 2.0, 9.0, 0.0)) == (2, "paused", 2)
    assert worker.trial(2).user_attrs[PROMOTED] == 1


def test_paused_trials_wait_in_the_study_and_a_larger_search_promotes_them(join):
    values = curves(3.0, 2.0, 1.0, 0.0)
    worker = join(overrides=RUNGS, total=3)
    while train(worker, values) is not None:
        pass
    states = [worker.trial(number).state for number in range(3)]
    assert states == [TrialState.COMPLETE, TrialState.WAITING, TrialState.WAITING]
    assert worker.queue.count_done() == 3
    larger = join(overrides=RUNGS, total=4)
    assert train(larger, values) == (3, "paused", 1)
    assert train(larger, values) is None


def test_several_workers_never_take_a_paused_trial_twice(join):
    values = curves(3.0, 2.0, 1.0, 0.0)
    first, second = join(overrides=RUNGS, total=3), join(overrides=RUNGS, total=3)
    for _ in range(3):
        train(first, values)
    promoted = second.queue.take()
    assert promoted.trial.number == 0 and first.queue.take() is None


def test_a_trial_killed_at_its_rung_waits_there_like_one_that_was_paused(join):
    worker = join(overrides=RUNGS, total=3)
    queued = worker.queue.take()
    assert worker.queue.reporter.report(queued, 1, 5.0) is True
    worker.queue.reporter.put_back(queued.trial, "its search was killed", 1.0, 250, killed=True)
    assert worker.queue.take().trial.number == 1


def test_what_a_trial_told_before_it_was_killed_is_asked_again_and_not_told_twice(join):
    worker = join(overrides=RUNGS, total=3)
    queued = worker.queue.take()
    assert worker.queue.reporter.report(queued, 1, 5.0) is True
    assert worker.queue.reporter.report(queued, 1, 6.0) is True
    assert worker.trial(0).intermediate_values == {1: 5.0}


def test_nothing_observed_at_a_rung_is_the_worst_value_there(join):
    worker = join(overrides=RUNGS, total=3)
    queued = worker.queue.take()
    assert worker.queue.reporter.report(queued, 1, None) is True
    assert worker.trial(0).intermediate_values == {1: -float("inf")}


def test_the_other_seeds_of_a_configuration_are_queued_when_its_first_has_passed_the_last_rung(join):
    worker = join(overrides=RUNGS, total=6, seeds_per_configuration=2)
    values = curves(3.0, 2.0, 1.0, 3.5)
    lives = [train(worker, values) for _ in range(6)]
    assert lives[:4] == [(0, "paused", 1), (1, "paused", 1), (2, "paused", 1), (0, "paused", 2)]
    assert lives[4:] == [(0, "completed", 4), (3, "completed", 4)]
    assert [worker.trial(number).user_attrs["seed"] for number in range(4)] == [42, 42, 42, 43]
    assert train(worker, values) is None


def test_the_best_configuration_is_one_that_has_reached_the_end(join):
    worker = join(overrides=RUNGS, total=3)
    while train(worker, curves(3.0, 2.0, 1.0)) is not None:
        pass
    assert worker.queue.find_best() == (3.0, 0)


def test_a_budget_leaves_time_for_one_trial_to_reach_the_end(join, monkeypatch):
    monkeypatch.setattr(budget, "compute_spent_s", sum_lives_s)
    values = curves(*[float(n) for n in range(9)])
    hours = 3.2 * 400 / 3600  # half of it for the search: 1.6 trainings of 400 s
    worker = join(overrides=RUNGS, total=9, budget_hours=hours)
    lives = []
    while (life := train(worker, values, evaluation_s=100.0)) is not None:
        lives.append(life)
    assert "completed" in {state for _, state, _ in lives} and worker.queue.count_done() < 9


def test_the_first_to_reach_the_end_may_use_the_time_for_confirming_and_goes_on_at_its_own_pace(join, monkeypatch):
    monkeypatch.setattr(budget, "compute_spent_s", sum_lives_s)
    half = ["scheduler=halving", "scheduler.rungs=[0.5]", "training.evaluations=4", "ppo.rollouts=8"]
    confirm = Plan(Confirm(top_k=2, seeds=[1001, 1002]), test=None)
    worker = join(overrides=half, total=9, budget_hours=1200 / 3600, stages=confirm)  # 600 s for confirming
    values = curves(3.0, 2.0, 1.0)
    for trial, evaluation_s in enumerate([25.0, 100.0, 100.0]):  # to the rung: 50 s, then 200 s each
        assert train(worker, values, evaluation_s)[:2] == (trial, "paused")
    assert worker.queue.compute_left_s() == pytest.approx(750, abs=5)  # without what is for confirming: 150 s
    row = f"env_steps\n{worker.queue._env_steps // 2}\n"
    worker.queue.locate_trial_directory(0).mkdir(parents=True)
    (worker.queue.locate_trial_directory(0) / "progress.csv").write_text(row, encoding="utf-8")
    assert train(worker, values, 25.0) == (0, "completed", 4)  # it needs 50 s; half a training of the mean: 150 s


def sum_lives_s(trials, now):
    """Time spent if trials run one after the other: here they all begin at the same moment."""
    return sum((end - start).total_seconds() for trial in trials for start, end in list_spans(trial, now))


def test_seeds_that_a_paused_configuration_may_still_need_are_not_given_to_another_draw_of_it(join):
    worker = join(Same(CELLS[0]), overrides=RUNGS, total=6, seeds_per_configuration=3)
    for _ in range(2):
        train(worker, curves(*[1.0] * 6))
    assert [worker.trial(number).user_attrs["seeds"] for number in range(2)] == [[42, 43, 44], [45, 46, 47]]


def test_trials_interrupted_beyond_their_rung_are_continued_though_fewer_are_wanted_now(join):
    values = curves(3.0, 2.0, 1.0, 0.0)
    worker = join(overrides=RUNGS, total=3)
    for _ in range(3):
        train(worker, values)
    promoted = worker.queue.take()
    worker.end(promoted, "interrupted", env_steps=300)
    assert join(overrides=RUNGS, total=2).queue.take().trial.number == promoted.trial.number
