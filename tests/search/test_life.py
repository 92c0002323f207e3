"""The life of a study: killed, stopped, resumed, shared. Its trials train nothing."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from searches import RANDOM, RATES, UNCONFIRMED, Searches, kill_group, study_of, trial_processes

from vbot_train.study.accounting import TrialCounts
from vbot_train.study.record import StudyRecord
from vbot_train.study.rungs import Rungs
from vbot_train.training.progress import read_whole_rows


def test_a_killed_search_ends_at_its_total_and_rewrites_nothing(searches):
    process = searches.start(*RANDOM, "search.max_trials=6", "workers=2", IDLE_S="2")
    searches.wait_for_training(2)
    kill_group(process)
    before = searches.stamps()
    searches.run(*RANDOM, "search.max_trials=6", "workers=2")
    assert searches.statuses() == ["completed"] * 6
    assert {path: stamp for path, stamp in searches.stamps().items() if path in before} == before
    counts = searches.analysis()["trials"]
    assert (counts["completed"], counts["interrupted"]) == (6, 0)


def test_every_trial_of_a_killed_search_continues_where_it_was(searches):
    process = searches.start(RATES, "search.max_trials=2", "workers=2", IDLE_S="10")
    searches.wait_for_rows(0, 2)
    searches.wait_for_rows(1, 2)
    kill_group(process)
    while trial_processes(searches.cwd):
        time.sleep(0.05)
    before = [(path / "progress.csv").read_text(encoding="utf-8") for path in searches.directories()]
    searches.run(RATES, "search.max_trials=2", "workers=2")
    assert searches.statuses() == ["completed"] * 2
    for number, (path, text) in enumerate(zip(searches.directories(), before, strict=True)):
        assert (path / "progress.csv").read_text(encoding="utf-8").startswith(text)
        lives = searches.attributes(number)["lives"]
        assert len(lives) == 2 and lives[1]["from_env_steps"] == int(text.splitlines()[-1].split(",")[0]) > 0
        assert not any(life["killed"] for life in lives)


@pytest.mark.slow
def test_a_larger_total_adds_trials_and_the_same_one_adds_none(searches):
    searches.run(*RANDOM, "search.max_trials=2")
    free = ["workers=1", "budget_hours=9", "search.trial_minutes=5", "search.within=2", "method=bayesian"]
    searches.run(*RANDOM, "search.max_trials=3", *free)
    assert StudyRecord.read(searches.study).settings.search.within == 2
    before = searches.stamps()
    searches.run(*RANDOM, "search.max_trials=3")
    assert searches.statuses() == ["completed"] * 3 and searches.stamps() == before
    assert len(set(searches.rates())) == 3


@pytest.mark.slow
def test_interruptions_and_workers_do_not_change_which_points_a_random_search_tries(searches, tmp_path):
    process = searches.start(*RANDOM, "search.max_trials=6", "workers=1", IDLE_S="0.5")
    searches.wait_for_results(2)
    process.send_signal(signal.SIGINT)
    process.wait()
    searches.run(*RANDOM, "search.max_trials=6", "workers=3")
    (tmp_path / "at_once").mkdir()
    at_once = Searches(tmp_path / "at_once")
    at_once.run(*RANDOM, "search.max_trials=6", "workers=2")
    assert searches.rates() == at_once.rates()


@pytest.mark.slow
def test_a_changed_setting_is_refused_with_what_it_was_and_is(searches):
    searches.run(RATES, "search.max_trials=1")
    before = searches.stamps()
    changed = ["seed=3", "ppo.gae_lambda=0.9", "+search.constraints.mine='ppo.rollouts > 99'"]
    output = searches.run(RATES, *changed, code=1)
    assert "seed: 42 -> 3" in output and "ppo.gae_lambda: 0.95 -> 0.9" in output
    assert "search.constraints.mine: absent -> ppo.rollouts > 99" in output and "search.enqueue='[\"" in output
    assert "ppo.learning_rate: choice(1e-05, " in searches.run("ppo.learning_rate=1e-5,1e-4", code=1)
    assert "search.metric: episode_reward_mean -> success_rate" in searches.run(
        RATES, "search.metric=success_rate", code=1
    )
    assert searches.stamps() == before


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_search_marks_its_trials_and_prints_the_line_that_goes_on(searches, sent, code):
    process = searches.start(RATES, "workers=2", IDLE_S="2")
    searches.wait_for_training(1)
    process.send_signal(sent)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == code and "Traceback" not in output, output
    assert "; Ctrl-C again ends at once" in output
    assert searches.analysis()["trials"]["interrupted"] == searches.statuses().count("interrupted") > 0
    line = shlex.split(output.splitlines()[-1].partition("to go on: ")[2])
    assert line == ["python", "-m", "vbot_train", "-m", UNCONFIRMED, RATES, "workers=2", "study=s"]


def test_the_line_that_a_stopped_search_prints_goes_on_with_it_to_its_end(searches):
    searches.study = searches.cwd / "multirun" / "4513e17"  # a number, as Hydra reads it
    process = searches.start(RATES, "study=4513e17", "workers=2", IDLE_S="2")
    searches.wait_for_training(2)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=30)
    line = shlex.split(output.splitlines()[-1].partition("to go on: ")[2])
    assert line[-1] == "study=4513e17"
    searches.run(*line[line.index("-m", 2) + 1 :])
    assert searches.rates() == [1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3]


def test_a_search_whose_reader_has_gone_is_stopped_in_order(searches):
    process = searches.start(RATES, "workers=2", IDLE_S="60")
    searches.wait_for_training(1)
    process.stdout.close()
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 130
    assert [searches.attributes(number)["cause"] for number in (0, 1)] == ["the search was stopped"] * 2
    assert searches.analysis()["trials"]["interrupted"] == 2


def test_a_second_interrupt_ends_the_search_at_once(searches):
    process = searches.start(RATES, "workers=1", IDLE_S="100", IDLE_STUBBORN="1")
    searches.wait_for_training(0)
    assert trial_processes(searches.cwd)
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=3)  # well below the trial's grace of 30 s
    assert process.returncode == 130 and "Traceback" not in output
    assert trial_processes(searches.cwd) == []
    searches.run(RATES, "workers=1")
    assert searches.statuses() == ["completed"] * 6


@pytest.mark.distributed
def test_several_commands_share_a_grid_and_the_last_writes_the_analysis(searches):
    space = [RATES, "ppo.learning_epochs=1,2", "+search.constraints.mine='ppo.learning_rate > 2e-3'"]
    processes = [searches.start(*space, "workers=1") for _ in range(4)]
    outputs = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, outputs
    assert searches.rates() == [1e-5, 1e-5, 3e-5, 3e-5, 1e-4, 1e-4, 3e-4, 3e-4, 1e-3, 1e-3]
    assert sum("analysis: " in output for output in outputs) == 1
    assert searches.analysis()["trials"]["completed"] == 10


@pytest.mark.distributed
def test_the_trial_of_a_killed_worker_is_trained_by_one_that_lives(searches):
    doomed = searches.start(RATES, "workers=1", IDLE_S="60")
    searches.wait_for_training(0)
    survivor = searches.start(RATES, "workers=1", IDLE_S="0.5")
    searches.wait_for_results(1)
    kill_group(doomed)
    output, _ = survivor.communicate(timeout=60)
    assert survivor.returncode == 0, output
    assert len(searches.attributes(0)["lives"]) == 2
    assert searches.rates() == [1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3]


@pytest.mark.distributed
def test_a_hydra_launcher_runs_the_workers(searches):
    space = "ppo.learning_rate=1e-5,1e-4,3e-4,1e-3"
    output = searches.run(space, "training=smoke", "workers=2", "hydra/launcher=joblib")  # these train: not idle.py
    assert searches.rates() == [1e-5, 1e-4, 3e-4, 1e-3]
    workers = {trial.user_attrs["worker"] for trial in study_of(searches).trials}
    assert len(workers) == 2, output


@pytest.mark.distributed
def test_a_search_by_a_launcher_takes_over_the_results(searches):
    space = ["ppo.learning_rate=1e-4,1e-3", "training=smoke"]
    searches.run(*space)
    output = searches.run(*space, "search.enqueue=['multirun/s:all']", "study=t", "workers=2", "hydra/launcher=joblib")
    searches.study = searches.cwd / "multirun" / "t"
    assert searches.statuses() == ["completed"] * 2 and not list(searches.study.glob("trials/*/train.log")), output


def test_a_crash_is_trained_again_and_counts_once(searches):
    searches.run("ppo.learning_rate=1e-4,3e-4,1e-3", "workers=1", IDLE_CRASH="1")
    assert searches.statuses() == ["completed", "failed", "completed", "completed"]
    assert searches.results()[1].cause == "the trial's process ended with code 3, see train.log"
    assert searches.rates() == [1e-4, 3e-4, 1e-3]


def test_a_search_whose_first_trials_all_crash_stops_and_shows_the_cause(searches):
    output = searches.run(RATES, "workers=1", code=1, IDLE_CRASH="all")
    assert "the first 3 trials ended alike" in output and "ended with code 3, see train.log" in output
    assert "nothing else is left" not in output
    assert searches.statuses() == ["failed"] * 3
    assert searches.analysis()["trials"]["failed"] == 3


def test_a_trial_that_takes_too_long_ends_as_timeout_and_is_not_trained_again(searches):
    searches.run(RATES, "search.max_trials=1", "search.trial_minutes=0.02", code=1, IDLE_S="60")
    (result,) = searches.results()
    assert (result.status, result.cause) == ("timeout", "longer than search.trial_minutes=0.02")
    assert searches.analysis()["trials"]["timeout"] == 1


def test_a_trial_that_is_killed_twice_without_a_new_state_in_between_is_given_up(searches):
    process = searches.start(RATES, "search.max_trials=1", IDLE_S="60")
    for life in (1, 2):
        kill_trial(searches, life)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 1 and "trial 0 was killed twice without a new state" in output, output
    (result,) = searches.results()
    assert result.status == "failed"
    assert result.cause.startswith("the trial's process was killed (signal 9); out of memory?; twice")


@pytest.mark.slow
def test_a_trial_that_is_killed_again_after_a_new_state_is_continued(searches):
    process = searches.start(RATES, "search.max_trials=1", "training.evaluations=8", IDLE_S="4")
    for life, rows in ((1, 2), (2, 4), (3, 6)):
        searches.wait_for_rows(0, rows)
        kill_trial(searches, life)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 0, output
    lives = searches.attributes(0)["lives"]
    assert [life["killed"] for life in lives] == [True] * 3 + [False]
    assert searches.statuses() == ["completed"]


@pytest.mark.slow
def test_a_trial_that_is_told_to_stop_from_outside_is_continued(searches):
    process = searches.start(RATES, "search.max_trials=1", IDLE_S="6")
    searches.wait_for_rows(0, 2)
    kill_trial(searches, 1, signal.SIGTERM)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 0, output
    assert len(searches.attributes(0)["lives"]) == 2


def kill_trial(searches, life, number=signal.SIGKILL):
    """Kill the one trial in training, in that life of it."""
    searches.wait_for_training(0)
    deadline = time.monotonic() + 30
    while len(lives := searches.attributes(0).get("lives", [])) < life or lives[-1]["from_env_steps"] is None:
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)
    (trial,) = trial_processes(searches.cwd)
    os.kill(trial, number)


@pytest.mark.slow
def test_a_search_goes_on_in_a_directory_of_its_own(searches):
    elsewhere = f"hydra.sweep.dir={searches.cwd}/elsewhere"
    process = searches.start(RATES, elsewhere, "seed=3", "workers=1", IDLE_S="60")
    searches.study = searches.cwd / "elsewhere"
    searches.wait_for_training(0)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=30)
    line = shlex.split(output.splitlines()[-1].partition("to go on: ")[2])
    assert line[4:] == [UNCONFIRMED, RATES, elsewhere, "seed=3", "workers=1", "study=s"]


@pytest.mark.slow
def test_without_retries_a_crash_stays_one(searches):
    searches.run(RATES, "workers=1", "search.retries=0", IDLE_CRASH="1")
    assert searches.statuses() == ["completed", "failed", *["completed"] * 4]


HALVING = [
    "training.evaluations=8",
    "scheduler=halving",
    "scheduler.rungs=[0.25,0.5]",
    "method=random",
]  # rungs at the evaluations 2 and 4
ANY_RATE = "ppo.learning_rate=tag(log,interval(1e-5,1e-2))"


def list_paused(searches):
    """Numbers of the trials that wait at a rung, of a search that has come to its end."""
    trials = study_of(searches).trials
    counts = TrialCounts(trials, retries=1, rungs=Rungs((2, 4), 8, 3))
    assert counts.find_promotable() is counts.find_promotable(is_last=True) is None
    assert counts.interrupted == counts.waiting == []
    return [trial.number for trial in counts.paused]


@pytest.mark.slow
def test_paused_trials_wait_apart_from_the_ranking_and_a_larger_search_goes_on_with_them(searches):
    searches.run(*HALVING, ANY_RATE, "search.max_trials=9", "workers=1", IDLE_S="3")
    paused, analysis = list_paused(searches), searches.analysis()
    done = [result.trial for result in searches.results() if result.status == "completed"]
    assert sorted([*paused, *done]) == list(range(9)) and 1 <= len(done) <= 4
    assert (analysis["trials"]["paused"], analysis["trials"]["completed"]) == (len(paused), len(done))
    assert [row["config_id"] for row in analysis["paused"]] == [f"config_{number:03d}" for number in paused]
    assert [row["config_id"] for row in analysis["top_5_configs"]] == [f"config_{n:03d}" for n in searches.best(done)]
    before = searches.stamps()
    searches.run(*HALVING, ANY_RATE, "search.max_trials=18", "workers=2", IDLE_S="3")
    assert before.items() <= searches.stamps().items()
    assert len(list_paused(searches)) + len(searches.results()) == 18
    lives = [trial.user_attrs["lives"] for trial in study_of(searches).trials]
    assert all(life["from_env_steps"] > 0 for each in lives for life in each[1:])  # none was trained twice
    output = searches.run(HALVING[0], HALVING[-1], "scheduler=none", ANY_RATE, "search.max_trials=18", code=1)
    assert "scheduler.rungs: [0.25, 0.5] -> []" in output


@pytest.mark.slow
def test_a_killed_search_with_paused_trials_loses_none_and_trains_none_twice(searches):
    arguments = [*HALVING, ANY_RATE, "search.max_trials=9"]
    process = searches.start(*arguments, "workers=2", IDLE_S="4")
    searches.wait_for_training(4)
    kill_group(process)
    processes = [searches.start(*arguments, "workers=1", IDLE_S="4") for _ in range(2)]
    outputs = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    paused, trials = list_paused(searches), study_of(searches).trials
    assert len(paused) + len(searches.results()) == len(searches.directories()) == 9
    for trial in trials:
        starts = [life["from_env_steps"] or 0 for life in trial.user_attrs["lives"]]  # None: killed before it trained
        assert starts == sorted(starts) and starts.count(0) <= 2
        rows = read_whole_rows(searches.directories()[trial.number] / "progress.csv")
        assert [int(row["evaluation"]) for row in rows] == list(range(1, len(rows) + 1))


@pytest.mark.slow
def test_the_budget_is_told_kept_and_may_be_raised(searches):
    hours = 10 / 3600  # a trial takes some two seconds
    output = searches.run(RATES, "workers=1", f"budget_hours={hours}", IDLE_S="1.5")
    done = searches.statuses().count("completed")
    assert 1 <= done < 6 and f"of 6 trials will fit into {hours:g} h" in output
    assert "is spent" in output and "with a larger one this goes on" in output
    searches.run(RATES, "workers=1", "budget_hours=1")
    assert searches.rates() == [1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3]


@pytest.mark.slow
def test_what_runs_when_the_budget_is_spent_is_interrupted_and_trained_with_a_larger_one(searches):
    searches.run(RATES, "search.max_trials=1", f"budget_hours={3 / 3600}", code=1, IDLE_S="60")
    attributes = searches.attributes(0)
    assert (attributes["status"], attributes["cause"]) == ("interrupted", "budget_hours is spent")
    searches.run(RATES, "search.max_trials=1", "budget_hours=1")
    assert searches.statuses() == ["completed"]


@pytest.mark.slow
def test_a_configuration_drawn_again_is_a_replicate_or_another_is_drawn(searches):
    two = ["ppo.learning_rate=1e-4,1e-3", "method=random", "search.max_trials=4", "workers=1"]
    searches.run(*two)
    pairs = {(result.applied["learning_rate"], result.seed) for result in searches.results()}
    assert len(pairs) == 4 and {seed for _, seed in pairs} >= {42, 43}
    assert searches.analysis()["replicates"]
    output = searches.run(*two, "search.duplicates=skip", "study=skip")
    assert "2 of 4 trials have ended: nothing else is left to try in this space" in output
    searches.study = searches.cwd / "multirun" / "skip"
    assert searches.rates() == [1e-4, 1e-3]  # no more of them exist


@pytest.mark.slow
def test_a_dry_run_shows_what_the_search_then_tries_and_leaves_nothing(searches):
    output = searches.run(*RANDOM, "search.dry_run=true")
    assert "points are feasible" in output and "break unstable" in output and "env steps" in output
    proposed = [line for line in output.splitlines() if "learning_rate=" in line]
    assert len(proposed) == 10 and not (searches.cwd / "multirun").exists()
    tried = searches.run(*RANDOM, "search.max_trials=3", "workers=1")
    for line in proposed[:3]:
        number, _, params = line.strip().partition("  ")
        assert any(text.startswith(f"trial   {number}  completed") and params in text for text in tried.splitlines())


@pytest.mark.parametrize("training", ["smoke", "quick", "standard", "long"])
def test_the_rungs_of_search_full_fit_every_training(searches, training):
    output = searches.run("search=full", f"training={training}", "search.dry_run=true")
    assert "trials are paused and promoted: the best 1 in 3 go on at 50% of a training" in output


def test_a_dry_run_of_a_grid_counts_its_cells_by_rule(searches):
    rule = "+search.constraints.mine='ppo.rollouts == 24 and ppo.learning_epochs == 4'"
    output = searches.run("ppo.rollouts=16,24,48", "ppo.learning_epochs=2,4", rule, "search.dry_run=true")
    assert "5 of 6 cells are feasible, 1 break mine" in output and "5 trials, " in output
    assert not (searches.cwd / "multirun").exists()


@pytest.mark.slow
def test_initial_points_are_announced_tried_first_and_left_out_with_a_word(searches):
    searches.run(*RANDOM, "study=old", "search.max_trials=1")
    enqueue = "search.enqueue=['ppo.learning_rate=1.2e-3','ppo.learning_rate=1','ppo.learning_rate=1.8e-3']"
    rule = "+search.constraints.mine='ppo.learning_rate > 1.5e-3'"
    line = ["search=fine_tune", "training=smoke", "search.around=multirun/old", enqueue, rule, "workers=1"]
    output = searches.run(*line, "search.max_trials=2")
    assert "search.around: ppo.learning_rate: " in output and "tried first: the default" in output
    assert "not tried first: search.enqueue='ppo.learning_rate=1': ppo.learning_rate=1 lies outside" in output
    assert "not tried first: search.enqueue='ppo.learning_rate=1.8e-3': it breaks the rule mine" in output
    assert [result.applied["learning_rate"] for result in searches.results()] == [1e-3, 1.2e-3]


@pytest.mark.slow
def test_what_a_search_was_narrowed_to_holds_though_the_other_study_went_on(searches):
    line = ["search=fine_tune", "training=smoke", "search.around=multirun/old", "workers=1"]
    searches.run(*RANDOM, "study=old", "search.max_trials=2")
    searches.run(*line, "search.max_trials=2")
    searches.run(*RANDOM, "study=old", "search.max_trials=3")
    searches.run(*line, "search.max_trials=3")
    assert searches.statuses() == ["completed"] * 3


@pytest.mark.slow
def test_optunas_own_tool_lists_the_trials(searches):
    searches.run(RATES, "search.max_trials=2")
    storage = f"sqlite:///{searches.study}/study.db"
    line = [Path(sys.executable).with_name("optuna"), "trials", "--study-name", "s", "--storage", storage, "-f", "json"]
    listed = json.loads(subprocess.check_output(line, text=True))
    assert [(row["number"], row["state"]) for row in listed] == [(0, "COMPLETE"), (1, "COMPLETE")]
