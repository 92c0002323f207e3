"""Whole searches at smoke size, from the command line to the analysis."""

import signal
import subprocess
import sys
import time

import pytest
import yaml
from searches import UNCONFIRMED, trial_processes

from vbot_train.training.progress import read_whole_rows
from vbot_train.training.result import TrialResult


def start(cwd, *arguments):
    command = [sys.executable, "-m", "vbot_train", "-m", "training=smoke", "study=s", UNCONFIRMED, *arguments]
    return subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def search(cwd, *arguments):
    """Run a search. Returns its output, its trials' results and its analysis."""
    process = start(cwd, *arguments)
    output, _ = process.communicate(timeout=400)
    assert process.returncode == 0, output
    study = cwd / "multirun" / "s"
    results = [TrialResult.load(path) for path in sorted((study / "trials").iterdir())]
    return (
        output,
        results,
        yaml.safe_load((study / "analysis" / "hyperparameter_importance.yaml").read_text(encoding="utf-8")),
    )


def settings(results, *names):
    return sorted(tuple(result.applied[name] for name in names) for result in results)


@pytest.mark.slow
def test_quick_with_a_fixed_key_runs_the_remaining_cells_once_each(tmp_path):
    output, results, analysis = search(tmp_path, "search=quick", "ppo.rollouts=24", "training=smoke")
    assert [result.status for result in results] == ["completed"] * 3
    assert settings(results, "learning_rate", "rollouts") == [(1e-4, 24), (3e-4, 24), (1e-3, 24)]
    assert analysis["trials"]["completed"] == 3
    for config in analysis["top_5_configs"]:
        result = results[int(config["config_id"].removeprefix("config_"))]
        assert config["episode_reward_mean"] == result.metrics["episode_reward_mean"]
        assert config["ppo.learning_rate"] == result.applied["learning_rate"]
    assert "hyperparameter_importance.yaml" in output
    best = tmp_path / "multirun" / "s" / "analysis" / "experiment" / "best.yaml"
    assert best.read_text(encoding="utf-8").startswith("# @package _global_\n")


@pytest.mark.slow
def test_a_plain_sweep_is_a_grid_whose_exported_best_trains_to_the_same_metrics(tmp_path):
    _, results, analysis = search(tmp_path, "network=small,large", "seed=3")
    assert [result.applied["policy_hidden_layer_sizes"] for result in results] == [[128, 64], [512, 256, 128]]
    best = results[int(analysis["best"]["config_id"].removeprefix("config_"))]
    command = [sys.executable, "-m", "vbot_train", "--config-dir", "multirun/s/analysis", "experiment=best"]
    subprocess.run([*command, "hydra.run.dir=again"], cwd=tmp_path, check=True, timeout=300)
    assert TrialResult.load(tmp_path / "again").metrics == best.metrics


@pytest.mark.slow
def test_a_recorded_trial_can_be_run_again_elsewhere_but_not_over_itself(tmp_path):
    _, results, _ = search(tmp_path, "search=quick", "ppo.rollouts=24", "ppo.learning_rate=1e-3,3e-4")
    again = [sys.executable, "-m", "vbot_train", "--experimental-rerun", "multirun/s/trials/001"]
    over = subprocess.run(again, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert over.returncode == 1 and "already holds the result.yaml" in over.stderr
    subprocess.run([*again, "hydra.run.dir=again"], cwd=tmp_path, check=True, timeout=300)
    assert TrialResult.load(tmp_path / "again").metrics == results[1].metrics


@pytest.mark.slow
def test_seeds_are_replicates_with_their_interquartile_mean(tmp_path):
    _, results, analysis = search(tmp_path, "seed=1,2,3")
    values = [result.metrics["episode_reward_mean"] for result in results]
    (row,) = analysis["replicates"]
    assert row["seeds"] == [1, 2, 3]
    assert row["episode_reward_mean"]["iqm"] == pytest.approx(sum(values) / 3, abs=1e-5)  # of three, none is cut off
    assert row["episode_reward_mean"]["range"] == [min(values), max(values)]


@pytest.mark.slow
def test_a_search_in_which_nothing_completes_says_so_and_fails(tmp_path):
    process = start(tmp_path, "ppo.learning_rate=1e3,2e3")
    output = process.communicate(timeout=200)[0]
    assert process.returncode == 1 and "no trial was completed" in output
    assert (tmp_path / "multirun" / "s" / "analysis" / "hyperparameter_importance.yaml").exists()


@pytest.mark.slow
def test_a_diverged_trial_is_not_ranked_and_the_others_go_on(tmp_path):
    output, results, analysis = search(tmp_path, "ppo.learning_rate=1e3,1e-4,1e-3")
    assert [result.status for result in results] == ["completed", "diverged", "completed"]  # the default is trial 0
    assert analysis["trials"]["diverged"] == 1
    assert [config["config_id"] for config in analysis["top_5_configs"]].count("config_001") == 0
    assert "trial   1  diverged" in output


@pytest.mark.slow
@pytest.mark.parametrize("method", ["random", "bayesian", "gp"])
def test_full_by_every_method_that_draws(tmp_path, method):
    line = ["search=full", "scheduler=none", f"method={method}", "search.max_trials=6", "training=smoke"]
    _, results, analysis = search(tmp_path, *line)
    assert len(results) == 6
    assert len({str(result.applied) for result in results}) == 6
    assert results[0].applied["learning_rate"] == 1e-3  # the default configuration is trial 0
    assert analysis["importance"]["reliability"].startswith("insufficient")


@pytest.mark.slow
@pytest.mark.parametrize("method", ["grid", "random", "bayesian"])
def test_no_infeasible_trial_is_launched_and_the_number_of_trials_is_reached(tmp_path, method):
    space = "ppo.learning_rate=1e-4,2e-4,6e-4,7e-4" if method == "grid" else "ppo.learning_rate=interval(1e-4,9e-4)"
    rule = "+search.constraints.mine='ppo.learning_rate > 5e-4'"  # half of the space
    expected = 4 if method == "grid" else 8
    arguments = [space, "ppo.rollouts=16,24", rule, f"method={method}"]
    _, results, analysis = search(tmp_path, *arguments, "search.max_trials=8")
    assert len(results) == expected
    assert all(result.applied["learning_rate"] <= 5e-4 for result in results)
    assert analysis["infeasible"].keys() == {"mine"}


@pytest.mark.slow
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_search_writes_its_analysis_and_leaves_no_trial_behind(tmp_path, sent, code):
    process = start(tmp_path, "ppo.rollouts=12,16,20,24", "workers=1", "training.env_steps=30000")
    trials = tmp_path / "multirun" / "s" / "trials"
    wait_for(lambda: (trials / "000" / "result.yaml").exists() and is_training(trials / "001"))
    assert trial_processes(tmp_path)
    process.send_signal(sent)
    output = process.communicate(timeout=60)[0]
    assert process.returncode == code, output
    assert "Traceback" not in output
    analysis = yaml.safe_load(
        (trials.parent / "analysis" / "hyperparameter_importance.yaml").read_text(encoding="utf-8")
    )
    ended = {path.parent.name for path in trials.glob("*/result.yaml")}
    interrupted = {path.parent.parent.name for path in trials.glob("*/checkpoints/state.pt")}
    assert (analysis["trials"]["completed"], analysis["trials"]["interrupted"]) == (len(ended), len(interrupted))
    assert interrupted and not ended & interrupted
    assert ended | interrupted == {path.name for path in trials.iterdir()}
    assert trial_processes(tmp_path) == []


def test_trials_do_not_outlive_a_killed_search(tmp_path):
    process = start(tmp_path, "ppo.rollouts=24", "seed=1,2", "training.env_steps=3000000")
    wait_for(lambda: len(list(tmp_path.glob("multirun/s/trials/*/progress.csv"))) > 0)
    assert trial_processes(tmp_path)
    process.kill()
    process.wait()
    wait_for(lambda: trial_processes(tmp_path) == [])


def is_training(trial):
    path = trial / "progress.csv"
    return path.exists() and bool(read_whole_rows(path))


def wait_for(condition, seconds=90):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.1)
