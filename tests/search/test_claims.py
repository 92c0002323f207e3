"""Loops claim trials from one study, and none is lost or taken twice."""

import os
import shutil
import threading
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass

import optuna
import pytest
from filelock import FileLock, Timeout
from omegaconf import OmegaConf
from optuna.samplers import RandomSampler
from optuna.study import StudyDirection
from optuna.trial import TrialState

from vbot_train.result import FILE_NAME, TrialResult
from vbot_train.search import presence as presence_module
from vbot_train.search.claims import Claims, settle
from vbot_train.search.ledger import CAUSE, KILLED, LOOP, ORIGIN, RETRY_OF, SEED, STATUS, WALL_TIME_S
from vbot_train.search.presence import Presence
from vbot_train.search.priors import Prior
from vbot_train.search.proposals import GridProposals, SampledProposals
from vbot_train.search.study import connect

METRIC = "episode_reward_mean"


@dataclass
class Worker:
    """A loop at work on a study."""

    claims: Claims
    presence: Presence
    study: optuna.Study

    def end(self, claim, status="completed", reward=1.0, *, wall_time_s=1.0, cause=None):
        """Tell the study that a claimed trial ended so."""
        number, seed = claim.trial.number, claim.candidate.config["seed"]
        result = TrialResult(status=status, trial=number, seed=seed, metrics={METRIC: reward}, cause=cause)
        self.claims.tell(claim, result, wall_time_s)

    def work(self, status="completed"):
        """Claim and end trials until there are none. Returns their points."""
        points = []
        while (claim := self.claims.claim()) is not None:
            self.end(claim, status)
            points.append(claim.candidate.params)
        return points

    def trial(self, number):
        return self.study.get_trials(deepcopy=False)[number]

    def attributes(self, number):
        return self.trial(number).user_attrs


class Same:
    """Proposes one and the same point for ever, each time after two draws that broke a rule."""

    def __init__(self, point):
        self.point = point
        self.rejected = Counter()

    def draw(self, trials, taken, index):
        self.rejected.update(["mine", "mine"])
        return self.point


@pytest.fixture(scope="module")
def grid(make_space):
    """Four cells, the epochs varying fastest."""
    return make_space("ppo.rollouts=16,24", "ppo.learning_epochs=2,4")


@pytest.fixture(scope="module")
def line(make_space):
    return make_space("ppo.learning_rate=interval(1e-4,1e-3)")


def cell(rollouts, epochs):
    return {"ppo.rollouts": rollouts, "ppo.learning_epochs": epochs}


def begin(claim):
    """What a loop writes when it starts a trial."""
    claim.directory.mkdir(parents=True)
    (claim.directory / "train.log").touch()
    (claim.directory / "progress.csv").write_text("env_steps\n")


CELLS = [cell(16, 2), cell(16, 4), cell(24, 2), cell(24, 4)]


def at_random(space):
    return SampledProposals(
        space, lambda candidate: [], RandomSampler, seed=0, direction=StudyDirection.MAXIMIZE, repeats=True
    )


@pytest.fixture
def join(tmp_path, empty_study, grid):
    """``join(total=2, ...)``: one more loop, with the keys of its job changed, joins the study in tmp_path."""
    shutil.copy(empty_study, tmp_path)
    with ExitStack() as loops:

        def make(
            proposals=None, *, space=grid, total=4, workers=1, pruner=None, budget_hours=None, directory=tmp_path, **job
        ):
            study = optuna.load_study(study_name="s", storage=connect(None, tmp_path), pruner=pruner)
            presence = loops.enter_context(Presence(tmp_path))
            search = {"metric": METRIC, "seeds_per_trial": 1, "retries": 1, **job}
            claims = Claims(
                study,
                directory,
                presence,
                space,
                proposals or GridProposals(CELLS),
                job={"search": search, "budget_hours": budget_hours},
                total=total,
                workers=workers,
            )
            return Worker(claims, presence, study)

        yield make


def test_the_cells_of_a_grid_are_claimed_in_order_each_once(join, tmp_path):
    loop = join()
    for number, point in enumerate(CELLS):
        claim = loop.claims.claim()
        assert (claim.trial.number, claim.candidate.params, claim.history) == (number, point, None)
        assert claim.directory == tmp_path / "trials" / f"00{number}"
        assert loop.attributes(number) == {ORIGIN: "proposed", SEED: 42, LOOP: loop.presence.name}
        loop.end(claim)
    assert loop.claims.claim() is None


def test_a_search_ends_at_its_total(join, line):
    loop = join(at_random(line), space=line, total=3)
    assert len(loop.work()) == 3
    assert len(loop.study.trials) == loop.claims.done() == 3
    assert len(join(at_random(line), space=line, total=5).work()) == 2
    assert join(at_random(line), space=line, total=2).work() == []


def test_trials_in_training_count_towards_the_total(join, line):
    loop, other = join(at_random(line), space=line, total=2), join(at_random(line), space=line, total=2)
    assert loop.claims.claim() and other.claims.claim()
    assert loop.claims.claim() is None and other.claims.claim() is None
    assert loop.claims.done() == 0


def test_loops_that_share_a_study_never_take_the_same_cell(join):
    first, second = join(), join()
    claims = [loop.claims.claim() for loop in (first, second, second, first)]
    assert [claim.candidate.params for claim in claims] == CELLS
    assert [claim.trial.number for claim in claims] == [0, 1, 2, 3]
    assert first.claims.claim() is None and second.claims.claim() is None


def test_loops_at_the_same_time_take_each_cell_once(join):
    loops, points, start = [join(), join(), join()], [], threading.Barrier(3)

    def work(loop):
        start.wait()
        points.extend(loop.work())

    threads = [threading.Thread(target=work, args=(loop,)) for loop in loops]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(points, key=CELLS.index) == CELLS
    assert len(loops[0].study.trials) == 4


def test_the_study_is_locked_while_a_trial_is_claimed(join, tmp_path):
    class Trying(GridProposals):
        def draw(self, trials, taken, index):
            with pytest.raises(Timeout):
                FileLock(tmp_path / ".loops" / "study.lock").acquire(timeout=0)
            return super().draw(trials, taken, index)

    assert join(Trying(CELLS)).claims.claim() is not None


@pytest.mark.parametrize(
    "step",
    [
        lambda loop, claim: loop.claims.claim(),
        lambda loop, claim: loop.claims.enqueue([Prior("mine", "enqueued", CELLS[3])]),
        lambda loop, claim: loop.claims.report(claim, 1, 2.0),
        lambda loop, claim: loop.end(claim),
    ],
    ids=["claim", "enqueue", "report", "tell"],
)
def test_every_step_waits_for_the_loop_that_has_the_lock(join, monkeypatch, step):
    monkeypatch.setattr(presence_module, "PATIENCE_S", 0.05)
    loop, other = join(), join()
    claim = loop.claims.claim()
    with other.presence.lock(), pytest.raises(Timeout):
        step(loop, claim)
    assert [trial.state for trial in loop.study.get_trials(deepcopy=False)] == [TrialState.RUNNING]
    step(loop, claim)


def test_a_random_search_tries_the_same_points_shared_interrupted_or_neither(join, line):
    expected = [at_random(line).draw([], {}, index) for index in range(4)]
    loop, gone = join(at_random(line), space=line), join(at_random(line), space=line)
    lost = gone.claims.claim()
    stopped = loop.claims.claim()
    gone.presence.leave()
    loop.end(stopped, "interrupted")
    assert [lost.candidate.params, stopped.candidate.params] == expected[:2]
    assert loop.work() == expected


def test_what_was_stopped_comes_before_new_cells_and_what_crashed_after_them(join):
    loop = join(total=3)
    first = loop.claims.claim()
    loop.end(first, "interrupted")
    again = loop.claims.claim()
    assert (again.trial.number, again.candidate.params) == (1, CELLS[0])
    loop.end(again, "failed")
    assert loop.work() == [CELLS[1], CELLS[2], CELLS[0]]
    assert [loop.attributes(number).get(RETRY_OF) for number in range(5)] == [None, 0, None, None, 1]


def test_the_trial_of_a_loop_that_died_is_claimed_again_once_under_a_new_number(join, tmp_path):
    gone = join()
    lost = gone.claims.claim()
    begin(lost)
    gone.presence.leave()
    heir = join()
    again = heir.claims.claim()
    begin(again)
    assert (again.trial.number, again.candidate.params) == (1, CELLS[0])
    assert again.directory == tmp_path / "trials" / "001"
    assert heir.attributes(1) == {ORIGIN: "proposed", SEED: 42, RETRY_OF: 0, LOOP: heir.presence.name}
    assert heir.trial(0).state == TrialState.FAIL
    assert (heir.attributes(0)[STATUS], heir.attributes(0)[KILLED]) == ("interrupted", True)
    assert (lost.directory / "progress.csv").read_text() == "env_steps\n"
    record = TrialResult.load(lost.directory)
    assert (record.status, record.trial, record.seeds) == ("interrupted", 0, [42])
    assert record.cause == heir.attributes(0)[CAUSE] == "its search was killed"
    heir.presence.leave()
    last = join()  # killed twice: the trial may be what kills its loops
    assert last.work() == CELLS[1:]
    assert (last.attributes(1)[STATUS], last.claims.done()) == ("interrupted", 4)
    assert last.claims.given_up() == [1]


def test_a_trial_whose_process_had_not_begun_when_its_loop_died_cannot_have_been_the_cause(join):
    for _ in range(3):
        gone = join(total=1)
        assert gone.claims.claim() is not None
        gone.presence.leave()
    last = join(total=1)
    assert last.work() == CELLS[:1]
    assert last.claims.given_up() == []


def test_a_trial_that_its_dead_loop_had_not_told_of_keeps_its_result(join):
    gone = join(total=1)
    lost = gone.claims.claim()
    lost.directory.mkdir(parents=True)
    TrialResult(status="completed", trial=0, seed=42, metrics={METRIC: 7.5}).save(lost.directory)
    written = (lost.directory / FILE_NAME).read_bytes()
    gone.presence.leave()
    heir = join(total=1)
    assert heir.claims.claim() is None
    assert (heir.trial(0).state, heir.trial(0).value) == (TrialState.COMPLETE, 7.5)
    assert heir.attributes(0)[STATUS] == "completed" and KILLED not in heir.attributes(0)
    assert (lost.directory / FILE_NAME).read_bytes() == written


def test_a_dead_loops_trial_lived_until_it_last_wrote_something(join):
    gone = join()
    lost = gone.claims.claim()
    (lost.directory / "checkpoints").mkdir(parents=True)
    start = gone.trial(0).datetime_start.timestamp()
    for name, age in [("progress.csv", 40), ("checkpoints/best.pt", 100), ("train.log", 5)]:
        (lost.directory / name).touch()
        os.utime(lost.directory / name, (start + age, start + age))
    os.utime(lost.directory / "checkpoints", (start + 999, start + 999))  # no file
    gone.presence.leave()
    heir = join()
    heir.claims.claim()
    assert heir.attributes(0)[WALL_TIME_S] == pytest.approx(100, abs=0.01)
    assert TrialResult.load(lost.directory).wall_time_s == pytest.approx(100, abs=0.01)


def test_a_dead_loops_trial_that_never_wrote_lived_no_time(join):
    gone = join()
    gone.claims.claim()
    gone.presence.leave()
    heir = join()
    heir.claims.claim()
    assert heir.attributes(0)[WALL_TIME_S] == 0


@pytest.mark.parametrize("set_so_far", [[], ["ppo.rollouts"], ["ppo.rollouts", "ppo.learning_epochs"]])
def test_a_trial_whose_loop_died_before_it_signed_it_is_claimed_again_whole(join, grid, set_so_far):
    loop = join()
    loop.study.enqueue_trial(CELLS[3])
    loop.study.ask({key: grid.distributions[key] for key in set_so_far})
    again = loop.claims.claim()
    assert (again.trial.number, again.candidate.params) == (1, CELLS[3])


def test_the_trial_of_a_living_loop_is_let_alone(join):
    other, loop = join(), join()
    other.claims.claim()
    assert loop.work() == CELLS[1:]
    assert loop.trial(0).state == TrialState.RUNNING


@pytest.mark.parametrize("retries", [None, 0, 1, 2])
def test_a_trial_that_crashes_is_trained_again_as_often_as_retries_says(join, retries):
    loop = join(total=1, retries=retries)
    assert loop.work("failed") == [CELLS[0]] * ((retries or 0) + 1)
    assert loop.claims.done() == 1


@pytest.mark.parametrize("status", ["completed", "pruned", "diverged", "timeout"])
def test_what_ended_otherwise_is_not_trained_again(join, status):
    loop = join(total=2, retries=9)
    assert loop.work(status) == CELLS[:2]


@pytest.mark.parametrize(
    ("status", "reward", "state", "value"),
    [
        ("completed", 2.5, TrialState.COMPLETE, 2.5),
        ("completed", None, TrialState.FAIL, None),  # the robots never came to where it is measured
        ("diverged", 2.5, TrialState.FAIL, None),
        ("timeout", 2.5, TrialState.FAIL, None),
        ("failed", 2.5, TrialState.FAIL, None),
        ("interrupted", 2.5, TrialState.FAIL, None),
        ("pruned", 2.5, TrialState.PRUNED, None),
    ],
)
def test_only_a_completed_trial_has_a_value_in_the_study(join, status, reward, state, value):
    loop = join()
    loop.end(loop.claims.claim(), status, reward, wall_time_s=3.00049, cause="so it was")
    trial = loop.trial(0)
    assert (trial.state, trial.value) == (state, value)
    told = {key: trial.user_attrs[key] for key in (STATUS, CAUSE, WALL_TIME_S)}
    assert told == {STATUS: status, CAUSE: "so it was", WALL_TIME_S: 3.0}
    assert KILLED not in trial.user_attrs


def test_a_configuration_proposed_again_becomes_a_replicate_on_the_next_seed(join):
    loop = join(Same(CELLS[0]), total=3)
    claims = [loop.claims.claim() for _ in range(3)]
    assert [claim.candidate.config["seed"] for claim in claims] == [42, 43, 44]
    assert "seed=43" in claims[1].candidate.overrides


def test_a_replicate_of_trials_on_several_seeds_takes_the_seeds_that_follow(join):
    loop = join(Same(CELLS[0]), total=3, seeds_per_trial=3)
    assert [loop.claims.claim().candidate.config["seed"] for _ in range(3)] == [42, 45, 48]


def test_a_trial_that_is_trained_again_keeps_its_seed_and_is_no_replicate(join):
    loop = join(Same(CELLS[0]), total=3)
    seeds = []
    for status in ("completed", "interrupted", "completed", "completed"):
        claim = loop.claims.claim()
        loop.end(claim, status)
        seeds.append(claim.candidate.config["seed"])
    assert seeds == [42, 43, 43, 44]


def test_rejected_draws_are_counted_in_the_study_over_all_loops(join):
    loop = join(Same(CELLS[0]))
    loop.study.set_user_attr("infeasible", {"mine": 10, "another": 1})
    loop.claims.claim()
    join(Same(CELLS[0])).claims.claim()
    assert loop.study.user_attrs["infeasible"] == {"mine": 14, "another": 1}
    loop.claims.claim()
    assert loop.study.user_attrs["infeasible"]["mine"] == 16


def test_draws_are_counted_also_where_no_point_was_left(join):
    loop = join(Same(None))
    assert loop.claims.claim() is None
    assert loop.study.user_attrs["infeasible"] == {"mine": 2}


def test_priors_are_claimed_first_and_enqueued_once(join, tmp_path):
    priors = [
        Prior("default", "default", CELLS[2]),
        Prior("outside", "enqueued", None, "outside"),
        Prior("mine", "enqueued", CELLS[3]),
    ]
    loop = join()
    loop.claims.enqueue(priors)
    assert loop.claims.claim().candidate.params == CELLS[2]
    other = join()
    other.claims.enqueue(priors)
    assert [other.claims.claim().candidate.params for _ in range(3)] == [CELLS[3], CELLS[0], CELLS[1]]
    assert other.claims.claim() is None
    assert [loop.attributes(number)[ORIGIN] for number in range(4)] == ["default", "enqueued", "proposed", "proposed"]
    assert loop.attributes(0)[SEED] == 42


def test_priors_beyond_the_total_wait(join):
    loop = join(total=1)
    loop.claims.enqueue([Prior("a", "default", CELLS[2]), Prior("b", "enqueued", CELLS[3])])
    assert loop.work() == [CELLS[2]]
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
def test_a_forked_trials_result_is_taken_over_where_it_was_trained_on_just_that(
    join, grid, tmp_path, changes, taken_over
):
    history = tmp_path / "old" / "trials" / "005"
    if changes is not None:
        config = OmegaConf.create(grid.candidate(CELLS[3]).config)
        for key, value in changes.items():
            OmegaConf.update(config, key, value)
        (history / ".hydra").mkdir(parents=True)
        OmegaConf.save(config, history / ".hydra" / "config.yaml")
    loop = join()
    loop.claims.enqueue([Prior("old", "history", CELLS[3], history=history)])
    claim = loop.claims.claim()
    assert claim.candidate.params == CELLS[3]
    assert claim.history == (history if taken_over else None)


@pytest.mark.parametrize(("workers", "loops", "threads"), [(1, 1, None), (2, 1, 1), (1, 2, 1)])
def test_trials_that_share_a_machine_run_on_one_thread_each(join, workers, loops, threads):
    *_, loop = [join(workers=workers) for _ in range(loops)]
    config = loop.claims.claim().candidate.config
    assert config["training"]["torch_threads"] == config["simulation"]["threads"] == threads


def test_a_trial_that_cannot_finish_within_the_budget_is_not_started(join):
    loop = join(budget_hours=1)
    loop.end(loop.claims.claim(), wall_time_s=1700)  # 1900 s are left
    second = loop.claims.claim()
    assert second is not None and not loop.claims.out_of_time
    loop.end(second, wall_time_s=1900)  # from the same moment on: 1700 s are left, and 1800 s the median
    assert loop.claims.left_s() == pytest.approx(1700, abs=5)
    assert loop.claims.claim() is None and loop.claims.out_of_time
    assert len(join(budget_hours=2).work()) == 2  # with a larger budget it goes on


def test_the_first_trial_is_started_within_any_budget_that_is_left(join):
    assert join(budget_hours=1e-3).claims.claim() is not None


def test_without_a_budget_there_is_no_end_of_time(join):
    loop = join()
    loop.end(loop.claims.claim(), wall_time_s=1e9)
    assert loop.claims.left_s() is None and loop.claims.forecast() is None
    assert loop.claims.claim() is not None


@pytest.mark.parametrize(
    ("total", "workers", "others", "fit"),
    [
        (20, 1, 0, 6),  # 1 has ended, 1 runs; half done on average, it leaves 3000 - 300 s, enough for 4
        (4, 1, 0, 4),
        (20, 2, 0, 10),  # 4 for each worker
        (20, 1, 1, 11),  # 1 has ended, 2 run, then 4 in this loop and 4 in the other
    ],
)
def test_the_first_trials_tell_how_many_will_fit(join, line, total, workers, others, fit):
    loop = join(at_random(line), space=line, total=total, workers=workers, budget_hours=1)
    assert loop.claims.forecast() is None  # nothing is known yet
    loop.end(loop.claims.claim(), wall_time_s=600)
    for _ in range(1 + others):
        loop.claims.claim()
    assert loop.claims.forecast() == fit


def test_values_on_the_way_go_through_the_study_to_its_pruner(join):
    loop = join(pruner=optuna.pruners.ThresholdPruner(lower=1.0))
    claim = loop.claims.claim()
    assert loop.claims.report(claim, 1, 2.0) is False
    assert loop.claims.report(claim, 2, 0.5) is True
    assert loop.trial(0).intermediate_values == {1: 2.0, 2: 0.5}


def settled(directory, status="failed"):
    return settle(directory, status, "it fell", trial=3, seed=5, wall_time_s=1.23456)


def test_a_trial_without_a_result_gets_one_that_says_how_it_ended(tmp_path):
    directory = tmp_path / "trials" / "003"
    result = settled(directory)
    assert result == TrialResult("failed", trial=3, seed=5, seeds=[5], wall_time_s=1.235, cause="it fell")
    assert TrialResult.load(directory) == result


def test_a_result_that_is_there_stays(tmp_path):
    own = TrialResult(status="completed", trial=3, seed=5, metrics={METRIC: 1.0})
    own.save(tmp_path)
    assert settled(tmp_path) == own == TrialResult.load(tmp_path)


def test_a_result_that_cannot_be_read_is_kept_beside_the_new_one(tmp_path):
    (tmp_path / FILE_NAME).write_text("schema_version: 1\nstat")
    assert settled(tmp_path).status == "failed"
    assert TrialResult.load(tmp_path).cause == "it fell"
    assert (tmp_path / "result.broken").read_text() == "schema_version: 1\nstat"


def test_a_result_that_its_process_writes_at_the_last_moment_wins(tmp_path, monkeypatch):
    own = TrialResult(status="completed", trial=3, seed=5, metrics={METRIC: 1.0})
    save = TrialResult.save

    def save_too_late(result, directory):
        save(own, directory)
        save(result, directory)

    monkeypatch.setattr(TrialResult, "save", save_too_late)
    assert settled(tmp_path) == own == TrialResult.load(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]
