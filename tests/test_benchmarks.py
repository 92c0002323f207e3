"""Smaller versions of what ``benchmarks/`` measures. Those of a search's life are in ``tests/search/test_life.py``."""

import csv
import gzip
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from vbot_train.config.composition import compose_config
from vbot_train.config.validation import compose_validated
from vbot_train.training.result import TrialResult
from vbot_train.training.stop import StopRequest

ROOT = Path(__file__).parents[1]
SEEDS = range(1000, 1012)


@pytest.fixture(scope="module")
def landscape():
    """The benchmark, as a module."""
    path = ROOT / "benchmarks" / "search.py"
    spec = importlib.util.spec_from_file_location("landscape", path)
    module = sys.modules["landscape"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules["landscape"]


def point(learning_rate=10**-3.5, entropy=1e-3, network="small", epochs=5, clip=0.2):
    return {
        "ppo.learning_rate": learning_rate,
        "ppo.entropy_loss_scale": entropy,
        "network": network,
        "ppo.learning_epochs": epochs,
        "ppo.ratio_clip": clip,
    }


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (point(), 40.0),
        (point(network="large"), 43.0),
        (point(10**-2.9), 14.7152),  # one width beside the peak: 40 / e
        (point(entropy=10**-1.5, network="deep"), 35.0),  # 40 (1 - 0.15) + 1
    ],
)
def test_the_landscape_is_the_one_agreed_on(landscape, where, value):
    assert landscape.value(where) == pytest.approx(value, abs=1e-4)


@pytest.mark.parametrize(
    ("where", "infeasible"),
    [
        (point(4e-4, epochs=6), True),
        (point(4e-4, epochs=5), False),
        (point(3e-4, epochs=6), False),
        (point(entropy=0.03, clip=0.15), True),
        (point(entropy=0.03, clip=0.2), False),
    ],
)
def test_what_is_infeasible_there(landscape, where, infeasible):
    assert landscape.is_infeasible(where) == infeasible


@pytest.mark.slow
def test_bayesian_search_beats_random_and_only_the_stock_sweeper_launches_what_is_infeasible(landscape):
    space, regrets = landscape.make_space(landscape.SPACE), {}
    for method in ("random", "bayesian"):
        outcomes = [landscape.ours(method, seed, space) for seed in SEEDS]
        assert sum(outcome.infeasible for outcome in outcomes) == 0
        regrets[method] = np.mean([landscape.best_value() - outcome.pick for outcome in outcomes])
    stock = [landscape.stock(seed) for seed in SEEDS]
    assert sum(outcome.infeasible for outcome in stock) > 100
    regrets["stock"] = np.mean([landscape.best_value() - outcome.pick for outcome in stock])
    assert regrets["bayesian"] < min(regrets["random"], regrets["stock"])


@pytest.fixture
def figures_of(tmp_path):
    """``figures_of("throughput", "--quick")``: what a benchmark writes with ``--json``."""

    def run(name, *arguments):
        line = [sys.executable, str(ROOT / "benchmarks" / f"{name}.py"), "--json", "figures.json", *arguments]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        subprocess.run(line, cwd=tmp_path, env=environment, check=True, stdout=subprocess.DEVNULL, timeout=500)
        return json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))

    return run


@pytest.mark.slow
def test_throughput_compares_training_with_its_ceilings_and_its_peers(figures_of):
    figures = figures_of("throughput", "--quick")
    assert set(figures) == {"machine", "ours", "peers", "ratios", "tried", "rounds"}
    ours, peers = figures["ours"]["16"], {"stable_baselines3", "skrl", "stable_baselines3_on_our_environment"}
    assert {"physics", "learner", "environment", "training", "ceiling", "of_ceiling"} <= set(ours)
    assert set(figures["peers"]) == set(figures["ratios"]["16"]) == peers
    parts, whole = ours["training"]["parts_us"], ours["training"]["total_us"]
    assert set(parts) == {"physics", "task logic", "inference", "storage", "update"}
    assert 0.8 * whole < sum(parts.values()) <= whole


@pytest.mark.slow
def test_footprint_sees_the_first_update_and_memory(figures_of):
    tiny = ["training=smoke", "simulation.threads=1", "env.episode_length_s=1"]
    figures = figures_of("footprint", "--steps", "7680", "--updates", "1", "--envs", "64", *tiny)
    assert figures["first_update_s"] > 0
    assert figures["peak_rss_mb_of_64_robots"] >= figures["rss_mb_at_the_end_of_64_robots"] > 100
    assert figures["twice_the_env_steps_cost"] > 0


@pytest.mark.slow
def test_fixed_costs_are_all_of_a_trials_wall_clock_but_its_learning(figures_of):
    (trials,) = figures_of("fixed_costs", "training=smoke", "env.episode_length_s=1")
    assert len(trials) == 2
    for trial in trials:
        assert all(seconds > 0 for seconds in trial["wall"].values()) and len(trial["wall"]) == 6
        assert sum(trial["wall"].values()) > trial["wall_time_s"]  # which begins after the imports
        assert 0 < sum(trial["cpu"].values()) < 2 * sum(trial["wall"].values())


RECORDED = ["training=quick", "ppo.learning_rate=3e-3", "ppo.discount_factor=0.999", "ppo.learning_epochs=5"]


def look_up(monkeypatch, tmp_path, *overrides):
    """What a trial of ``recorded_study.py`` reports and leaves."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    benchmark, told = importlib.import_module("recorded_study"), []
    config = compose_config([*RECORDED, *overrides])
    benchmark.look_up_training(config, tmp_path, 7, StopRequest(), told.append)
    return TrialResult.load(tmp_path), [row for row in told if row["kind"] == "update"]


def test_a_trial_of_the_recorded_study_reports_and_leaves_what_was_recorded(monkeypatch, tmp_path):
    overrides = ["ppo.entropy_loss_scale=1e-4", "training.evaluations=4"]
    result, told = look_up(monkeypatch, tmp_path, *overrides)
    assert (result.status, result.trial, result.seed, result.env_steps) == ("completed", 7, 42, 1_000_000)
    assert result.metrics["episode_reward_mean"] == 45.577468
    assert [row["evaluation"] for row in told] == [1, 2, 3, 4]
    assert [row["env_steps"] for row in told] == [250_000, 500_000, 750_000, 1_000_000]
    rows = read_recorded(rate="0.003", entropy="0.0001")
    assert [row["selection_episode_reward_mean"] for row in told] == [float(rows[k]["value"]) for k in (3, 7, 11, 15)]


def read_recorded(rate, entropy):
    """Rows of the training with these settings on seed 42, in order."""
    with gzip.open(ROOT / "benchmarks" / "data" / "vbot_curves.csv.gz", "rt", encoding="utf-8") as file:
        settings = (rate, entropy, "0.999", "5", "42")
        rows = [row for row in csv.DictReader(file) if tuple(row.values())[:5] == settings]
    return sorted(rows, key=lambda row: int(row["step"]))


def test_a_trial_of_the_recorded_study_that_diverged_reports_what_it_had_until_then(monkeypatch, tmp_path):
    overrides = ["ppo.learning_rate=1e-2", "ppo.entropy_loss_scale=3e-2", "ppo.discount_factor=0.95"]
    overrides += ["ppo.learning_epochs=2", "training.evaluations=16"]
    result, told = look_up(monkeypatch, tmp_path, *overrides)
    assert (result.status, result.metrics, result.env_steps) == ("diverged", {}, len(told) * 62_500)
    assert told[0]["selection_episode_reward_mean"] == -22.34016 and 2 <= len(told) < 16


def test_a_trial_of_the_recorded_study_by_a_metric_that_was_not_recorded_is_refused(monkeypatch, tmp_path):
    with pytest.raises(ValueError, match="fall_rate at 4 evaluations was not recorded"):
        look_up(monkeypatch, tmp_path, "ppo.entropy_loss_scale=1e-4", "search.metric=fall_rate")


def test_a_trial_of_the_recorded_study_that_nobody_recorded_is_refused(monkeypatch, tmp_path):
    with pytest.raises(ValueError, match="no training was recorded with seed 42 and"):
        look_up(monkeypatch, tmp_path, "ppo.entropy_loss_scale=5e-3")


def test_an_unstable_robot_makes_no_env_step(monkeypatch):
    pytest.importorskip("stable_baselines3")
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    config = compose_validated(["training=smoke", "simulation.threads=1"])
    bare = importlib.import_module("ceilings").BarePhysics(config)
    states = np.zeros((4, 1 + bare.model.nq + bare.model.nv))
    states[1, 3], states[2, -1] = np.nan, -100.5  # a position, a joint's speed [rad/s]
    assert bare.sound(states) == 2


@pytest.mark.slow
def test_the_gpu_benchmark_runs_on_warps_cpu_device():
    pytest.importorskip("mujoco_warp")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    line = [sys.executable, "benchmarks/gpu.py", "--device", "cpu", "--robots", "8", "--steps", "2", "--updates", "2"]
    printed = subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout
    robots, *figures = printed.splitlines()[-1].split()
    assert robots == "8" and len(figures) == 4 and all(float(figure.replace(",", "")) > 0 for figure in figures)
