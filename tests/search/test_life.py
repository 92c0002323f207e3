"""The life of a study: killed, stopped, resumed, shared. Its trials train nothing."""

import shlex
import signal
import time

import pytest
from searches import RANDOM, RATES, Searches, kill_group, study_of


def test_a_killed_search_ends_at_its_total_and_rewrites_nothing(searches):
    process = searches.start(*RANDOM, "search.max_trials=6", "workers=2", IDLE_S="2")
    searches.wait_for_training(2)
    kill_group(process)
    before = searches.stamps()
    searches.run(*RANDOM, "search.max_trials=6", "workers=2")
    assert searches.statuses().count("completed") == 6
    assert set(searches.statuses()) == {"completed", "interrupted"}
    assert {path: stamp for path, stamp in searches.stamps().items() if path in before} == before
    counts = searches.analysis()["trials"]
    assert (counts["completed"], counts["interrupted"]) == (6, searches.statuses().count("interrupted"))


def test_a_larger_total_adds_trials_and_the_same_one_adds_none(searches):
    searches.run(*RANDOM, "search.max_trials=2")
    searches.run(*RANDOM, "search.max_trials=3", "workers=1", "budget_hours=9", "search.trial_minutes=5")
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


def test_a_changed_setting_is_refused_with_what_it_was_and_is(searches):
    searches.run(RATES)
    before = searches.stamps()
    changed = ["seed=3", "ppo.gae_lambda=0.9", "+search.constraints.mine='ppo.rollouts > 99'"]
    output = searches.run(RATES, *changed, code=1)
    assert "seed: 42 -> 3" in output and "ppo.gae_lambda: 0.95 -> 0.9" in output
    assert "search.constraints.mine: absent -> ppo.rollouts > 99" in output and "resume=fork" in output
    assert "ppo.learning_rate: choice(1e-05, " in searches.run("ppo.learning_rate=1e-5,1e-4", code=1)
    assert "search.metric: episode_reward_mean -> success_rate" in searches.run(
        RATES, "search.metric=success_rate", code=1
    )
    assert searches.stamps() == before


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_search_prints_the_line_that_ends_it(searches, sent, code):
    process = searches.start(RATES, "workers=2", IDLE_S="2")
    searches.wait_for_training(2)
    process.send_signal(sent)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == code and "Traceback" not in output, output
    assert searches.analysis()["trials"]["interrupted"] == searches.statuses().count("interrupted") > 0
    line = shlex.split(output.splitlines()[-1].partition("to go on: ")[2])
    assert line[:3] == ["python", "-m", "vbot_train"]
    searches.run(*line[4:])
    assert searches.rates() == [1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3]


def test_a_second_interrupt_ends_the_search_at_once(searches):
    process = searches.start(RATES, "workers=1", IDLE_S="100", IDLE_STUBBORN="1")
    searches.wait_for_training(0)
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=3)  # well below the trial's grace of 5 s
    assert process.returncode == 130 and "Traceback" not in output


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
def test_the_trial_of_a_killed_loop_is_trained_by_one_that_lives(searches):
    doomed = searches.start(RATES, "workers=1", IDLE_S="60")
    searches.wait_for_training(0)
    survivor = searches.start(RATES, "workers=1", IDLE_S="0.5")
    searches.wait_for_results(1)
    kill_group(doomed)
    output, _ = survivor.communicate(timeout=60)
    assert survivor.returncode == 0, output
    assert searches.statuses()[0] == "interrupted" and searches.results()[0].cause == "its search was killed"
    assert searches.rates() == [1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3]


@pytest.mark.distributed
def test_a_hydra_launcher_runs_the_loops(searches):
    space = "ppo.learning_rate=1e-5,1e-4,3e-4,1e-3"
    output = searches.run(space, "training=smoke", "workers=2", "hydra/launcher=joblib")  # these train: not idle.py
    assert searches.rates() == [1e-5, 1e-4, 3e-4, 1e-3]
    loops = {trial.user_attrs["loop"] for trial in study_of(searches).trials}
    assert len(loops) == 2, output


def test_a_crash_is_trained_again_and_counts_once(searches):
    searches.run(RATES, "workers=1", IDLE_CRASH="1")
    assert searches.statuses() == ["completed", "failed", *["completed"] * 5]
    assert searches.results()[1].cause == "the trial's process ended with code 3, see train.log"
    assert searches.rates() == [1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3]


@pytest.mark.slow
def test_without_retries_a_crash_stays_one(searches):
    searches.run(RATES, "workers=1", "search.retries=0", IDLE_CRASH="1")
    assert searches.statuses() == ["completed", "failed", *["completed"] * 4]


@pytest.mark.slow
def test_pruned_trials_are_pruned_in_the_study_and_apart_in_the_analysis(searches):
    arguments = ["training.evaluations=8", "pruner=halving", "workers=1", "method=random", "search.max_trials=10"]
    searches.run(*arguments, "ppo.learning_rate=tag(log,interval(1e-5,1e-2))", IDLE_S="1.2")
    study, analysis = study_of(searches), searches.analysis()
    pruned = [trial.number for trial in study.trials if trial.state.name == "PRUNED"]
    assert 3 <= len(pruned) < 10
    assert [result.trial for result in searches.results() if result.status == "pruned"] == pruned
    assert [row["config_id"] for row in analysis["pruned"]] == [f"config_{number:03d}" for number in pruned]
    assert analysis["trials"]["pruned"] == len(pruned) and analysis["trials"]["completed"] == 10 - len(pruned)
    assert all((searches.study / "trials" / f"{number:03d}" / "progress.csv").exists() for number in pruned)
    assert not {f"config_{n:03d}" for n in pruned} & {row["config_id"] for row in analysis["top_5_configs"]}


def test_the_budget_is_told_kept_and_may_be_raised(searches):
    hours = 10 / 3600  # a trial takes some two seconds
    output = searches.run(RATES, "workers=1", f"budget_hours={hours}", IDLE_S="1.5")
    done = searches.statuses().count("completed")
    assert 1 <= done < 6 and "of 6 trials will fit into the budget" in output
    assert "is spent" in output and "with a larger one this goes on" in output
    searches.run(RATES, "workers=1", "budget_hours=1")
    assert searches.rates() == [1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3]


@pytest.mark.slow
def test_a_configuration_drawn_again_is_a_replicate_or_another_is_drawn(searches):
    two = ["ppo.learning_rate=1e-4,1e-3", "method=random", "search.max_trials=4", "workers=1"]
    searches.run(*two)
    pairs = {(result.applied["learning_rate"], result.seed) for result in searches.results()}
    assert len(pairs) == 4 and {seed for _, seed in pairs} >= {42, 43}
    assert searches.analysis()["replicates"]
    searches.run(*two, "search.duplicates=skip", "study=skip")
    searches.study = searches.cwd / "multirun" / "skip"
    assert searches.rates() == [1e-4, 1e-3]  # no more of them exist


def test_a_dry_run_shows_ten_proposals_and_leaves_nothing(searches):
    output = searches.run(*RANDOM, "search.dry_run=true")
    assert "feasible" in output and "break unstable" in output and "env steps" in output
    assert sum("learning_rate=" in line for line in output.splitlines()) == 10
    assert not (searches.cwd / "multirun").exists()
