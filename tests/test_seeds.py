"""One configuration on several seeds."""

import pytest

from vbot_train.seeds import combine, train_seeds
from vbot_train.training.result import METRICS, TrialResult

CONFIG = {"seed": 5, "ppo": {"rollouts": 24}}


def a_result(seed, status="completed", **changes):
    values = {"metrics": {"success_rate": 0.5, "time_to_goal_s": 4.0}, "reward_terms": {"approach": 1.0}}
    values |= {"last_metrics": {"success_rate": 0.25, "time_to_goal_s": None}, "env_steps": 100}
    return TrialResult(status=status, trial=3, seed=seed, seeds=[seed], **{**values, **changes})


class Trainer:
    """In place of a training: hands out results, and notes what it was asked."""

    def __init__(self, *results):
        self.results = list(results)
        self.asked = []

    def __call__(self, config, directory):
        assert directory.is_dir()
        self.asked.append((config, directory.name))
        return self.results.pop(0)


def test_each_seed_is_trained_in_a_directory_of_its_own(tmp_path):
    train = Trainer(a_result(5), a_result(6), a_result(7))
    result = train_seeds(CONFIG, tmp_path, [5, 6, 7], train)
    assert train.asked == [({**CONFIG, "seed": seed}, f"seed_{seed}") for seed in (5, 6, 7)]
    assert CONFIG["seed"] == 5
    assert (result.trial, result.seed, result.seeds) == (3, 5, [5, 6, 7])
    assert TrialResult.load(tmp_path) == result


@pytest.mark.parametrize("status", ["diverged", "failed", "timeout", "interrupted", "pruned"])
def test_the_first_run_that_is_not_completed_ends_it(tmp_path, status):
    train = Trainer(a_result(5), a_result(6, status, cause="nan", env_steps=30), a_result(7))
    result = train_seeds(CONFIG, tmp_path, [5, 6, 7], train)
    assert len(train.asked) == 2 and not (tmp_path / "seed_7").exists()
    assert (result.status, result.cause, result.seeds) == (status, "seed 6: nan", [5, 6])
    assert (result.metrics, result.last_metrics, result.reward_terms) == ({}, {}, {})
    assert result.env_steps == 130
    assert TrialResult.load(tmp_path) == result


def test_a_metric_over_seeds_is_the_mean_of_the_middle_half():
    rates = [0.1, 0.9, 0.4, 0.5, 0.0]  # without the lowest and the highest: 0.1, 0.4, 0.5
    results = [
        a_result(
            seed,
            metrics={"success_rate": rate},
            last_metrics={"success_rate": 2 * rate},
            reward_terms={"approach": 30 * rate},
        )
        for seed, rate in enumerate(rates)
    ]
    combined = combine(results)
    assert combined.metrics == {"success_rate": 0.333333}
    assert combined.last_metrics == {"success_rate": 0.666667}
    assert combined.reward_terms == {"approach": 10.0}


def test_of_three_seeds_none_is_cut_off():
    results = [a_result(seed, metrics={"success_rate": rate}) for seed, rate in enumerate([0.0, 0.0, 0.9])]
    assert combine(results).metrics == {"success_rate": 0.3}


def test_a_metric_that_one_seed_has_not_has_no_mean():
    times = [4.0, None, 6.0]
    combined = combine([a_result(s, metrics={"success_rate": 0.5, "time_to_goal_s": t}) for s, t in enumerate(times)])
    assert combined.metrics == {"success_rate": 0.5, "time_to_goal_s": None}
    assert combined.objective("time_to_goal_s") is None


def test_costs_are_summed_and_settings_come_from_the_first():
    first = a_result(5, evaluation_env_steps=10, wall_time_s=1.25, unstable_robots=2, applied={"rate": 1})
    second = a_result(6, evaluation_env_steps=20, wall_time_s=2.5, unstable_robots=3, applied={"rate": 2})
    combined = combine([first, second])
    assert (combined.env_steps, combined.evaluation_env_steps) == (200, 30)
    assert (combined.wall_time_s, combined.unstable_robots) == (3.75, 5)
    assert combined.applied == {"rate": 1}
    assert (combined.status, combined.cause) == ("completed", None)


def test_a_run_over_seeds_has_the_objective_of_a_single_one():
    metrics = dict.fromkeys(METRICS, 0.5)
    assert combine([a_result(1, metrics=metrics), a_result(2, metrics=metrics)]).objective("fall_rate") == 0.5
