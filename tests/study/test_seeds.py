"""What the trials of one configuration, a training seed each, amount to together."""

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from standing import ended, write_study
from studies import METRIC, lived_on, screened, study

from vbot_train.analysis.ranking import rank_configurations
from vbot_train.study.loading import load_study
from vbot_train.study.seeds import combine_results, merge_seeds
from vbot_train.training.metrics import METRICS
from vbot_train.training.result import TrialResult

SEEDS = (5, 6, 7)


def result_on(seed, status="completed", **changes):
    """A result on one seed."""
    values = {"metrics": {"success_rate": 0.5, "time_to_goal_s": 4.0}, "reward_terms": {"approach": 1.0}}
    values |= {"last_metrics": {"success_rate": 0.25, "time_to_goal_s": None}, "env_steps": 100}
    return TrialResult(status=status, trial=3, seed=seed, seeds=[seed], **{**values, **changes})


def trial_on(number, seed, reward=1.0, *, seeds=SEEDS, rate=1e-3, status="completed", **changes):
    """The trial that trains a configuration on one of its seeds."""
    trial = screened(number, reward, rate=rate, seed=seed, status=status)
    result = trial.result if status == "completed" else replace(trial.result, metrics={}, cause="nan")
    return replace(trial, result=result, seeds=tuple(seeds), directory=Path(f"{number:03d}"), **changes)


def values_of(trials):
    return [(trial.number, trial.result.status, trial.result.get_objective(METRIC)) for trial in trials]


def test_a_metric_over_three_seeds_is_their_mean():
    results = [
        result_on(seed, metrics={"success_rate": rate}) for seed, rate in zip(SEEDS, (0.0, 0.0, 0.9), strict=True)
    ]
    assert combine_results(3, results).metrics == {"success_rate": 0.3}


def test_a_metric_over_four_seeds_is_the_mean_of_the_two_in_the_middle():
    rates = (0.9, 0.2, 0.4, 0.0)
    results = [result_on(seed, metrics={"success_rate": rate}) for seed, rate in enumerate(rates)]
    assert combine_results(3, results).metrics == {"success_rate": 0.3}


def test_a_metric_over_more_seeds_is_the_mean_of_the_middle_half():
    rates = [0.1, 0.9, 0.4, 0.5, 0.0]  # without the lowest and the highest: 0.1, 0.4, 0.5
    results = [
        result_on(
            seed,
            metrics={"success_rate": rate},
            last_metrics={"success_rate": 2 * rate},
            reward_terms={"approach": 30 * rate},
        )
        for seed, rate in enumerate(rates)
    ]
    combined = combine_results(3, results)
    assert combined.metrics == {"success_rate": 0.333333}
    assert combined.last_metrics == {"success_rate": 0.666667}
    assert combined.reward_terms == {"approach": 10.0}


def test_a_metric_that_one_seed_has_not_has_no_mean():
    times = [4.0, None, 6.0]
    results = [result_on(s, metrics={"success_rate": 0.5, "time_to_goal_s": t}) for s, t in enumerate(times)]
    combined = combine_results(3, results)
    assert combined.metrics == {"success_rate": 0.5, "time_to_goal_s": None}
    assert combined.get_objective("time_to_goal_s") is None


def test_costs_are_summed_and_settings_come_from_the_first():
    first = result_on(5, evaluation_env_steps=10, wall_time_s=1.25, unstable_robots=2, applied={"rate": 1})
    second = result_on(6, evaluation_env_steps=20, wall_time_s=2.5, unstable_robots=3, applied={"rate": 2})
    combined = combine_results(3, [first, second])
    assert (combined.trial, combined.seed, combined.seeds) == (3, 5, [5, 6])
    assert (combined.env_steps, combined.evaluation_env_steps) == (200, 30)
    assert (combined.wall_time_s, combined.unstable_robots) == (3.75, 5)
    assert combined.applied == {"rate": 1}
    assert (combined.status, combined.cause) == ("completed", None)


@pytest.mark.parametrize("status", ["diverged", "failed", "timeout", "pruned"])
def test_a_lost_seed_in_the_middle_leaves_no_mean_and_its_cost_and_cause(status):
    lost = result_on(6, status, cause="nan", env_steps=30)
    combined = combine_results(3, [result_on(5), lost, result_on(7)])
    assert (combined.status, combined.cause, combined.seeds) == (status, "seed 6: nan", [5, 6, 7])
    assert (combined.metrics, combined.last_metrics, combined.reward_terms) == ({}, {}, {})
    assert combined.env_steps == 230


def test_the_seeds_of_a_configuration_are_one_trial_with_the_runs_of_all():
    trials = [trial_on(4, 5, 1.0), trial_on(5, 6, 2.0), trial_on(6, 7, 6.0)]
    (merged,) = merge_seeds(trials, retries=0)
    assert values_of([merged]) == [(4, "completed", 3.0)]
    assert merged.params == trials[0].params and merged.is_merged
    assert merged.run_directories == {5: Path("004"), 6: Path("005"), 7: Path("006")}
    assert [run.get_objective(METRIC) for run in merged.runs] == [1.0, 2.0, 6.0]
    assert merged.ended == max(trial.ended for trial in trials)


def test_a_configuration_whose_seeds_ran_on_two_hosts_has_both():
    hosts = (("a",), ("a", "b"), ())
    seeds = enumerate(zip(SEEDS, hosts, strict=True))
    trials = [trial_on(n, seed, lives=lived_on(*names)) for n, (seed, names) in seeds]
    assert merge_seeds(trials, retries=0)[0].hosts == {"a", "b"}


def test_the_runs_are_in_the_order_of_the_seeds_whichever_ended_first():
    trials = [trial_on(4, 7, 6.0), trial_on(5, 5, 1.0, ended=datetime(2026, 1, 2)), trial_on(6, 6, 2.0)]
    (merged,) = merge_seeds(trials, retries=0)
    assert (merged.number, list(merged.run_directories), merged.ended) == (4, [5, 6, 7], datetime(2026, 1, 2))


def test_where_the_first_seed_decides_a_configuration_that_lost_it_is_there_without_the_others():
    lost = trial_on(4, 5, 0.0, status="diverged")
    assert merge_seeds([lost], retries=0) == []
    (merged,) = merge_seeds([lost], retries=0, by_first=True)
    assert (merged.number, merged.result.status, list(merged.run_directories)) == (4, "diverged", [5])
    assert merge_seeds([trial_on(4, 5, 1.0)], retries=0, by_first=True) == []  # the others are still to come


def test_trials_on_a_single_seed_stay_as_they_are_and_all_come_by_number():
    single = [screened(0, 1.0), screened(4, 2.0), screened(5, 0.0, status="diverged")]
    block = [trial_on(1, 5), trial_on(2, 6), trial_on(3, 7)]
    merged = merge_seeds([single[0], *block, *single[1:]], retries=0)
    assert [trial.number for trial in merged] == [0, 1, 4, 5]
    assert [merged[0], *merged[2:]] == single


def test_configurations_that_share_their_seeds_are_told_apart_by_their_parameters():
    trials = [trial_on(n, 5 + n % 3, float(n), rate=rate) for n, rate in enumerate([1e-3] * 3 + [2e-3] * 3)]
    assert values_of(merge_seeds(trials, retries=0)) == [(0, "completed", 1.0), (3, "completed", 4.0)]


def test_a_configuration_that_was_drawn_again_on_other_seeds_is_two_trials_and_one_configuration():
    trials = [trial_on(n, seed, float(seed), seeds=seeds) for n, (seed, seeds) in enumerate(BLOCKS)]
    merged = merge_seeds(trials, retries=0)
    assert values_of(merged) == [(0, "completed", 5.5), (2, "completed", 7.5)]
    (found,) = rank_configurations(study(merged), METRIC)
    assert (found.number, found.seeds, found.mean(METRIC)) == (0, [5, 6, 7, 8], 6.5)


BLOCKS = [(5, (5, 6)), (6, (5, 6)), (7, (7, 8)), (8, (7, 8))]


def test_a_configuration_with_a_seed_that_has_not_ended_is_left_out():
    whole = [trial_on(n, seed, rate=2e-3) for n, seed in enumerate(SEEDS)]
    merged = merge_seeds([*whole, trial_on(3, 5, 99.0), trial_on(5, 7, 99.0)], retries=0)
    assert [trial.number for trial in merged] == [0]


def test_a_seed_that_crashed_is_waited_for_while_it_is_owed_a_retry():
    trials = [trial_on(0, 5, 1.0), trial_on(1, 6, status="failed"), trial_on(2, 7, 3.0)]
    assert merge_seeds(trials, retries=1) == []
    assert values_of(merge_seeds(trials, retries=0)) == [(0, "failed", None)]


def test_a_seed_that_crashed_counts_by_its_retry():
    crashed = trial_on(0, 5, status="failed")
    trials = [crashed, trial_on(1, 6, 2.0), trial_on(2, 7, 6.0), trial_on(3, 5, 1.0, retry_of=0)]
    (merged,) = merge_seeds(trials, retries=1)
    assert values_of([merged]) == [(0, "completed", 3.0)]
    assert merged.run_directories == {5: Path("003"), 6: Path("001"), 7: Path("002")}


def test_a_seed_that_was_killed_until_it_was_given_up_is_lost_whatever_the_retries():
    trials = [trial_on(0, 5, 1.0), trial_on(1, 6, status="failed", killed=True), trial_on(2, 7, 3.0)]
    (merged,) = merge_seeds(trials, retries=9)
    assert (merged.result.status, merged.killed) == ("failed", True)


@pytest.mark.parametrize("status", ["diverged", "timeout", "failed", "pruned"])
@pytest.mark.parametrize("retries", [0, 1, 2])
def test_a_configuration_that_has_lost_a_seed_ranks_below_a_whole_one_and_does_not_vanish(status, retries):
    attempts = retries + 1 if status == "failed" else 1
    lost = [trial_on(10, 6, status=status)]
    lost += [trial_on(10 + n, 6, status=status, retry_of=9 + n) for n in range(1, attempts)]
    trials = [trial_on(0, 5, 90.0), trial_on(1, 7, 70.0), screened(2, 1.0, rate=2e-3), *lost]
    merged = merge_seeds(trials, retries)
    found = rank_configurations(study(merged, config={"search": {"retries": retries}}), METRIC)
    assert [(one.number, one.mean(METRIC), one.failed_seeds) for one in found] == [(2, 1.0, {}), (0, 80.0, {6: status})]


def test_values_on_the_way_are_the_mean_where_every_seed_has_one():
    curves = [{1: 0.0, 2: 3.0, 3: 9.0}, {1: 1.0, 2: 4.0}, {1: 5.0, 2: 5.0, 3: 9.0}]
    trials = [trial_on(n, seed, intermediate=curve) for n, (seed, curve) in enumerate(zip(SEEDS, curves, strict=True))]
    (merged,) = merge_seeds(trials, retries=0)
    assert merged.intermediate == {1: 2.0, 2: 4.0}


def older_trial(directory, results):
    """What a version left behind that trained all seeds of a configuration in the directory of one trial."""
    (directory / ".hydra").mkdir(parents=True)
    for name in (".hydra/config.yaml", "experiment.yaml"):
        (directory / name).write_text("seed: 42\n", encoding="utf-8")
    combine_results(int(directory.name), results).save(directory)
    for result in results:
        (directory / f"seed_{result.seed}").mkdir()
        result.save(directory / f"seed_{result.seed}")
        (directory / f"seed_{result.seed}" / "progress.csv").write_text("env_steps\n100\n", encoding="utf-8")


def of_reward(seed, reward):
    status = "completed" if reward is not None else "diverged"
    return result_on(seed, status, metrics={} if reward is None else dict.fromkeys(METRICS, 0.5) | {METRIC: reward})


def test_the_trials_of_an_older_study_that_trained_all_seeds_in_one_directory_are_read_and_ranked(tmp_path):
    rewards = [(90.0, None), (2.0, 4.0), (1.0, 3.0)]
    points = [{"ppo.learning_rate": 1e-3 * (n + 1), "network": "small"} for n in range(3)]
    rows = [
        ended(value=3.0, status="completed" if None not in pair else "diverged", params=point)
        for pair, point in zip(rewards, points, strict=True)
    ]
    directory = write_study(tmp_path / "s", rows, files=False)
    for number, pair in enumerate(rewards):
        folder = directory / "trials" / f"{number:03d}"
        older_trial(folder, [of_reward(seed, reward) for seed, reward in zip((42, 43), pair, strict=True)])
    loaded = load_study(directory)
    assert values_of(loaded.trials) == [(0, "diverged", None), (1, "completed", 3.0), (2, "completed", 2.0)]
    folder = directory / "trials" / "001"
    assert loaded.trials[1].run_directories == {42: folder / "seed_42", 43: folder / "seed_43"}
    assert [path.parent.name for path in loaded.trials[1].progress_files] == ["seed_42", "seed_43"]
    found = rank_configurations(loaded, METRIC)
    assert [(one.number, one.mean(METRIC)) for one in found] == [(1, 3.0), (2, 2.0), (0, 90.0)]
    assert found[2].failed_seeds == {43: "diverged"}
