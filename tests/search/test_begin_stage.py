"""Whole searches with the stages after them; their trials train nothing."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest
import yaml
from optuna.trial import create_trial
from searches import RANDOM, kill_group

from vbot_train.search.begin_stage import find_test_seed
from vbot_train.training.result import TrialResult

RATES = "ppo.learning_rate=1e-5,3e-5,9e-5,1e-3,2e-3,3e-3"  # the nearest to 10^-3.5, so the best, is the default
STAGES = ["search.confirm.top_k=2", "search.confirm.seeds=2", "search.test.seeds=[7,8]"]
GRID = [RATES, "training=smoke", "workers=2", *STAGES]


def stage(searches, name):
    """Learning rate and seed of each training that a stage completed."""
    results = [TrialResult.load(path.parent) for path in sorted(searches.study.glob(f"{name}/*/result.yaml"))]
    return sorted((r.applied["learning_rate"], r.seed) for r in results if r.status == "completed")


def wait_for(searches, pattern):
    deadline = time.monotonic() + 60
    while not list(searches.study.glob(pattern)):
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


CONFIRMED = [(9e-5, 1001), (9e-5, 1002), (1e-3, 1001), (1e-3, 1002)]  # the value falls with the distance from 10^-3.5
TESTED = [(1e-3, 7), (1e-3, 8)]  # the winner is the default


@pytest.mark.slow
def test_the_best_are_confirmed_on_fresh_seeds_then_the_winner_and_the_default_tested(searches):
    output = searches.run(*GRID, "+search.constraints.mine='ppo.learning_rate in (1e-3, 2e-3)'")
    assert len(searches.results()) == 4  # trials of the search are as many as without
    assert stage(searches, "confirm") == [(9e-5, 1001), (9e-5, 1002), (3e-3, 1001), (3e-3, 1002)]
    assert stage(searches, "test") == [(9e-5, 7), (9e-5, 8), (1e-3, 7), (1e-3, 8)]  # the default, which a rule forbids
    best = searches.analysis()["best"]
    assert best["status"] == "tested" and best["default"] == "default"
    assert best["tested"]["seeds"] == best["default_tested"]["seeds"] == [7, 8]
    recorded = yaml.safe_load((searches.study / "test" / "000" / ".hydra" / "config.yaml").read_text(encoding="utf-8"))
    assert recorded["evaluation"]["seed"] == 3_000_003
    assert "winner: config_002, tested" in output


@pytest.mark.slow
def test_a_search_that_is_killed_while_it_confirms_goes_on_there(searches):
    process = searches.start(*GRID, IDLE_S="0.5")
    wait_for(searches, "confirm/*/result.yaml")
    kill_group(process)
    searches.run(*GRID)
    assert stage(searches, "confirm") == CONFIRMED and stage(searches, "test") == TESTED
    assert len(searches.results()) == 6
    assert searches.analysis()["best"]["tested"]["seeds"] == [7, 8]


@pytest.mark.slow
def test_ctrl_c_while_it_confirms_says_unconfirmed_and_how_to_go_on(searches):
    process = searches.start(*GRID, IDLE_S="2")
    wait_for(searches, "confirm/*/progress.csv")
    os.killpg(process.pid, signal.SIGINT)
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 130, output
    assert "unconfirmed (0 of 4 confirming trainings have ended)" in output
    assert "6 of 6 trials have ended, 0 of 4 trainings to confirm; to go on: " in output and "study=s" in output
    assert searches.analysis()["best"]["status"].startswith("unconfirmed: 0 of 4")


@pytest.mark.slow
def test_a_study_with_bad_trials_goes_on_and_a_confirmation_that_cannot_be_read_is_trained_again(searches):
    searches.run(*GRID)
    for path in ("trials/000", "trials/001", "confirm/001"):  # the default and another, and a confirming training
        shutil.rmtree(searches.study / path)
    for name in ("s", "s/confirm", "s/test"):
        study = optuna.load_study(study_name=name, storage=f"sqlite:///{searches.study}/study.db")
        first = study.trials[0]
        study.add_trial(create_trial(value=99.0, params=first.params, distributions=first.distributions))
        study.ask()
    output = searches.run(*GRID)
    assert output.count("left out: ") == 6
    assert "trials: 4 completed" in output
    assert (searches.study / "confirm" / "006" / "result.yaml").exists()
    assert searches.analysis()["best"]["status"] == "tested"


def test_a_test_whose_first_config_cannot_be_read_is_known_by_the_next(tmp_path):
    assert find_test_seed(tmp_path) is None
    for number, text in enumerate((b"\x80", b"evaluation:\n", b"evaluation:\n  seed: 7\n")):
        directory = tmp_path / "test" / f"{number:03d}" / ".hydra"
        directory.mkdir(parents=True)
        (directory / "config.yaml").write_bytes(text)
    assert find_test_seed(tmp_path) == 7


@pytest.mark.slow
def test_a_search_without_confirmation_can_be_confirmed_later(searches):
    searches.run(RATES, "training=smoke")
    assert searches.analysis()["best"]["status"] == "unconfirmed: search.confirm=none"
    assert not (searches.study / "confirm").exists()
    before = searches.stamps()
    searches.run(*GRID)
    assert stage(searches, "confirm") == CONFIRMED
    assert searches.analysis()["best"]["status"] == "tested"
    assert before.items() <= searches.stamps().items()  # no trial was touched


@pytest.mark.slow
def test_more_seeds_and_finalists_are_added_to_those_that_are_there(searches):
    searches.run(*GRID)
    searches.run(*GRID, "search.confirm.top_k=3", "search.confirm.seeds=3")
    more = [(2e-3, 1001), (2e-3, 1002), (2e-3, 1003), (9e-5, 1003), (1e-3, 1003)]
    assert stage(searches, "confirm") == sorted([*CONFIRMED, *more])
    assert stage(searches, "test") == TESTED


@pytest.mark.slow
def test_a_test_that_was_left_out_in_between_goes_on(searches):
    searches.run(*GRID)
    searches.run(*GRID[:3], "search.confirm=none")
    assert searches.analysis()["best"]["status"] == "unconfirmed: search.confirm=none"
    output = searches.run(*GRID, "search.confirm.seeds=3")
    assert "confirm: 6 trainings, 4 are done" in output
    assert searches.analysis()["best"]["status"] == "tested"


@pytest.mark.slow
def test_seeds_that_confirmed_cannot_test_nor_those_that_tested_confirm(searches):
    searches.run(*GRID)
    swapped = searches.run(*GRID, "search.test.seeds=[1001]", "search.confirm.seeds=[9]", code=1)
    assert "search.test.seeds: 1001 is a seed of the search too" in swapped
    other_starts = searches.run(*GRID, "search.test.evaluation_seed=77", code=1)
    assert "search.test.evaluation_seed=77: the test was begun with 3000003" in other_starts
    assert stage(searches, "confirm") == CONFIRMED and stage(searches, "test") == TESTED


@pytest.mark.slow
@pytest.mark.distributed
def test_two_searches_that_share_a_study_share_its_stages(searches):
    first, second = searches.start(*GRID, IDLE_S="0.3"), searches.start(*GRID, IDLE_S="0.3")
    outputs = [process.communicate(timeout=120)[0] for process in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0), outputs
    assert stage(searches, "confirm") == CONFIRMED and stage(searches, "test") == TESTED
    assert sum("analysis: " in output for output in outputs) == 1


@pytest.mark.slow
def test_a_budget_keeps_time_for_confirming(searches):
    budget = f"budget_hours={20 / 3600}"  # 20 s; half of it at most is kept: 8 trainings of a second and more
    output = searches.run(*RANDOM, "search.max_trials=50", "workers=1", *STAGES, budget, IDLE_S="1")
    trials = len(searches.results())
    assert 1 < trials < 16
    assert "budget_hours" in output
    assert len(stage(searches, "confirm")) == 4


@pytest.mark.slow
def test_optuna_shows_the_stages_as_studies_beside_the_search(searches):
    searches.run(*GRID)
    line = [Path(sys.executable).with_name("optuna"), "studies", "--storage", f"sqlite:///{searches.study}/study.db"]
    output = subprocess.run(line, capture_output=True, text=True, check=True).stdout
    assert "s/confirm" in output and "s/test" in output
