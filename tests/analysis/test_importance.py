"""Importance against planted truth, and the estimator against Optuna's."""

import importlib.util
from dataclasses import dataclass

import numpy as np
import optuna
import planted
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.importance import PedAnovaImportanceEvaluator
from planted import METRIC, NINE, SIX, TOP_TWO, WITHOUT_EFFECT, plant, trial

from vbot_train.analysis.estimators.ped_anova import PedAnova, best_of
from vbot_train.analysis.estimators.resampling import Resampled, find_units, resample
from vbot_train.analysis.importance import BEST, measure_importance
from vbot_train.study.errors import StudyError

NOTHING = {name: planted.Planted(parameter.distribution, parameter.shape, 0.0) for name, parameter in SIX.items()}
SHARE = FloatDistribution(0.0, 1.0)
SMALL = CategoricalDistribution(["small", "large"])


@pytest.fixture(scope="module")
def truth():
    """The shares that the same estimator gives with 50,000 trials."""
    trials = plant(SIX, 50_000, seed=999)
    losses = -np.array([[trial.result.metrics[METRIC] for trial in trials]])
    divergences = PedAnova(trials, list(SIX), BEST)(losses, np.ones(losses.shape))[0]
    return dict(zip(SIX, divergences / divergences.sum(), strict=True))


@dataclass
class Tally:
    """What repeated studies of 64 trials found."""

    sufficient: float  # share of the studies
    found: float  # share of the studies whose first two parameters are the true ones
    held: dict[str, float]  # share of the sufficient studies whose interval holds the truth, by parameter


def tally(truth, seeds):
    reports = [measure_importance(plant(SIX, 64, seed), METRIC) for seed in seeds]
    sufficient = [report for report in reports if report.is_sufficient]
    found = [{row.parameter for row in report.rows[:2]} == TOP_TWO for report in sufficient]
    held = {name: [] for name in SIX}
    for row in (row for report in sufficient for row in report.rows):
        low, high = row.interval_90
        held[row.parameter].append(low <= truth[row.parameter] <= high)
    shares = {name: float(np.mean(holds)) for name, holds in held.items()}
    return Tally(len(sufficient) / len(reports), sum(found) / len(reports), shares)


@pytest.fixture(scope="module")
def two_hundred(truth):
    return tally(truth, range(200))


@pytest.mark.slow
def test_at_64_trials_the_true_top_two_are_found_in_80_percent_of_200_studies(two_hundred, say):
    say(f"top two found in {two_hundred.found:.1%} of 200 studies of 64 trials")
    assert two_hundred.found >= 0.8


@pytest.mark.slow
def test_the_90_percent_intervals_hold_the_truth_in_80_to_97_percent_of_200_studies(two_hundred, say):
    held = two_hundred.held
    say(f"90 % intervals hold the truth in {np.mean(list(held.values())):.1%}: {held}")
    assert 0.8 <= np.mean(list(held.values())) <= 0.97
    assert 0.8 <= np.mean([two_hundred.held[name] for name in TOP_TWO]) <= 0.97
    assert 0.8 <= np.mean([two_hundred.held[name] for name in WITHOUT_EFFECT]) <= 0.97
    assert min(two_hundred.held.values()) >= 0.8


@pytest.mark.slow
def test_planted_effects_are_hardly_ever_taken_for_chance(two_hundred, say):
    say(f"planted effects stand out from chance in {two_hundred.sufficient:.1%}")
    assert two_hundred.sufficient >= 0.9


@pytest.mark.slow
def test_without_any_effect_nothing_stands_out_in_90_percent_of_200_studies(say):
    reports = [measure_importance(plant(NOTHING, 64, seed), METRIC) for seed in range(200)]
    chance = "insufficient: no parameter stands out from chance"
    share = np.mean([report.reliability == chance for report in reports])
    say(f"noise alone is called chance in {share:.1%} of 200 studies")
    assert share >= 0.9
    assert all(row.importance is None for report in reports if not report.is_sufficient for row in report.rows)


def test_ten_studies_find_the_top_two_and_hold_the_truth(truth):
    ten = tally(truth, range(10))
    assert ten.found >= 0.8
    assert np.mean(list(ten.held.values())) >= 0.8


def test_at_8_trials_insufficient_is_said_every_time():
    for seed in range(200):
        report = measure_importance(plant(SIX, 8, seed), METRIC)
        assert report.reliability == "insufficient: 8 of 30 completed trials"
        assert {(row.importance, row.interval_90, row.rank_90) for row in report.rows} == {(None, None, None)}


def test_pure_noise_is_called_chance_and_gets_no_numbers():
    report = measure_importance(plant(NOTHING, 64, seed=0), METRIC)
    assert report.reliability == "insufficient: no parameter stands out from chance"
    assert {row.importance for row in report.rows} == {None}


def test_equal_values_are_called_chance():
    trials = [trial(k, {"network": ["small", "large"][k % 2]}, {"network": SMALL}, 1.0) for k in range(40)]
    assert measure_importance(trials, METRIC).reliability == "insufficient: no parameter stands out from chance"


def test_with_many_trials_shares_come_near_the_truth_and_ranks_are_certain(truth):
    rows = {row.parameter: row for row in measure_importance(plant(SIX, 1000, seed=0), METRIC).rows}
    assert rows["ppo.learning_rate"].rank_90 == (1, 1) and rows["ppo.rollouts"].rank_90 == (2, 2)
    assert sum(row.importance for row in rows.values()) == pytest.approx(1, abs=1e-3)
    for name, row in rows.items():
        assert row.importance == pytest.approx(truth[name], abs=0.08)
        assert row.interval_90[0] <= row.importance <= row.interval_90[1]


def test_the_order_of_the_trials_does_not_matter():
    trials = plant(SIX, 64, seed=0)
    assert measure_importance(trials, METRIC) == measure_importance(trials[::-1], METRIC)


def test_a_metric_to_minimize_gives_what_its_negative_gives_to_maximize():
    trials = plant(SIX, 64, seed=0)
    for t in trials:
        t.result.metrics["fall_rate"] = -t.result.metrics[METRIC]
    assert measure_importance(trials, "fall_rate") == measure_importance(trials, METRIC)


def test_only_completed_trials_count():
    trials = plant(SIX, 64, seed=0)
    wrecks = [trial(100 + k, t.params, t.distributions, 99.0, status="diverged") for k, t in enumerate(trials)]
    assert measure_importance([*trials, *wrecks], METRIC) == measure_importance(trials, METRIC)


def test_a_parameter_of_one_value_is_left_out_with_the_reason_and_a_seed_without_a_word():
    fixed = {"network": CategoricalDistribution(["small"]), "ppo.rollouts": CategoricalDistribution([24, 48])}
    trials = []
    for k, t in enumerate(plant(SIX, 64, seed=0)):
        t = trial(k, {**t.params, "network": "small", "ppo.rollouts": 24, "seed": k}, t.distributions | fixed, 0.0)
        trials.append(t)
    report = measure_importance(trials, METRIC)
    assert report.left_out == {
        "network": "takes one value only: small",
        "ppo.rollouts": "only 24 was trained: no other was feasible or drawn",
    }
    assert {row.parameter for row in report.rows} == set(SIX) - {"network", "ppo.rollouts"}


def test_a_conditional_parameter_that_decides_among_the_trials_that_have_it_comes_first():
    generator = np.random.default_rng(0)
    trials = []
    for k in range(200):
        network, rate = ["small", "large"][k % 2], float(generator.random())
        params, distributions = {"network": network}, {"network": SMALL}
        if network == "large":
            params["depth"], distributions["depth"] = rate, FloatDistribution(0, 1)
        trials.append(trial(k, params, distributions, -abs(rate - 0.5) + generator.normal(0, 0.02)))
    report = measure_importance(trials, METRIC)
    assert report.is_sufficient and report.rows[0].parameter == "depth"


def configuration(number, network, rollouts):
    space = {"network": SMALL, "ppo.rollouts": CategoricalDistribution([16, 24, 48])}
    return trial(number, {"network": network, "ppo.rollouts": rollouts}, space, 0.0, seed=number)


def test_replicates_are_drawn_together_but_in_a_whole_grid_each_by_itself():
    names = ["network", "ppo.rollouts"]
    sample = [("small", 16), ("small", 16), ("large", 24)]  # two of four combinations, one of them twice
    assert find_units([configuration(k, *row) for k, row in enumerate(sample)], names).tolist() == [0, 0, 1]
    grid = [*sample, ("small", 24), ("large", 16), ("small", 48), ("large", 48)]
    assert find_units([configuration(k, *row) for k, row in enumerate(grid)], names).tolist() == list(range(7))


def test_values_of_one_parameter_are_no_whole_grid_while_others_might_have_been_drawn():
    space = {"ppo.rollouts": IntDistribution(16, 64)}
    trials = [trial(k, {"ppo.rollouts": value}, space, 0.0, seed=k) for k, value in enumerate([16, 16, 40])]
    assert find_units(trials, ["ppo.rollouts"]).tolist() == [0, 0, 1]


def test_replicates_stay_together_when_values_are_shuffled_whatever_their_number():
    sizes = [1, 3, 2, 3, 1, 2, 1, 4]
    unit = np.random.default_rng(0).permutation(np.repeat(np.arange(len(sizes)), sizes))
    seen = []

    def record(losses, weights):
        seen.append(losses)
        return np.ones((len(losses), 1))

    resample(record, unit.astype(float), unit, (50, 2), seed=0, is_additive=True)  # a value tells whose it was
    shuffled = next(rows for rows in seen if len(rows) == 50)
    for row in shuffled:
        received = [set(row[unit == number]) for number in range(len(sizes))]
        assert all(len(values) == 1 for values in received)  # each gets those of one
        assert sorted(value for values in received for value in values) == list(range(len(sizes)))  # each of another
    assert {row[unit == 1][0] for row in shuffled} == {1, 3} and {row[unit == 7][0] for row in shuffled} == {7}


def replicated(seed, sizes, effect):
    """A study of configurations with so many replicates each, whose noise is a third of what is their own."""
    generator = np.random.default_rng(seed)
    trials = []
    for point, size in zip(plant(SIX, len(sizes), seed), sizes, strict=True):
        own = effect(point, generator)
        for _ in range(size):
            number = len(trials)
            value = own + 0.3 * generator.normal()
            trials.append(trial(number, point.params, point.distributions, value, seed=number))
    return trials


def test_where_no_two_configurations_have_as_many_replicates_nothing_stands_out():
    trials = replicated(0, range(1, 10), lambda point, generator: point.result.metrics[METRIC])
    assert measure_importance(trials, METRIC).reliability == "insufficient: no parameter stands out from chance"


@pytest.mark.slow
def test_what_replicates_share_is_taken_for_an_effect_in_5_percent_of_400_studies(say):
    def study(seed):
        return replicated(seed, np.random.default_rng(seed).integers(1, 7, 24), lambda _, generator: generator.normal())

    share = np.mean([measure_importance(study(seed), METRIC).is_sufficient for seed in range(400)])
    say(f"configurations that differ, but not by their parameters, are given an importance in {share:.1%}")
    assert share <= 0.075  # two standard errors above 5 %


@pytest.mark.slow
def test_effects_are_found_among_configurations_of_unequal_numbers_of_replicates(say):
    def study(seed):
        return replicated(seed, np.random.default_rng(seed).integers(1, 5, 64), lambda p, _: p.result.metrics[METRIC])

    reports = [measure_importance(study(seed), METRIC) for seed in range(50)]
    found = np.mean([r.is_sufficient and {row.parameter for row in r.rows[:2]} == TOP_TWO for r in reports])
    say(f"64 configurations of one to four replicates: top two found in {found:.0%}")
    assert found >= 0.8


def test_shares_are_of_what_exceeds_chance():
    # 0.5 - 0.1 = 0.4 and 0.2 - 0.1 = 0.1 of 0.5; the third lies below chance
    bias = np.full(3, 0.1)
    found = Resampled(np.array([0.5, 0.2, 0.05]), np.empty((0, 3)), np.empty((0, 3)), bias)
    assert found.shares == pytest.approx([0.8, 0.2, 0.0])


def test_the_best_are_counted_with_their_repeats_and_ties_are_in():
    losses, weights = np.array([[3.0, 1.0, 2.0, 2.0, 9.0]]), np.array([[1.0, 1.0, 1.0, 2.0, 1.0]])
    assert best_of(losses, weights, 1 / 3).tolist() == [[0, 1, 1, 2, 0]]  # two of six: 1.0, one 2.0, and its ties


SPACE = {
    "log": FloatDistribution(1e-5, 1e-2, log=True),
    "linear": FloatDistribution(-1.0, 2.0),
    "stepped": FloatDistribution(0.0, 1.0, step=0.25),
    "int": IntDistribution(1, 9),
    "log_int": IntDistribution(1, 200, log=True),
    "choice": CategoricalDistribution(["a", "b", "c"]),
}


def mixed(count, seed):
    """Trials of every kind of parameter and of a conditional one with two ranges; values tie."""
    sampler = optuna.samplers.RandomSampler(seed=seed)
    study = optuna.create_study(sampler=sampler)
    generator = np.random.default_rng(seed)
    trials = []
    for number in range(count):
        space = dict(SPACE)
        if number % 3:
            space["conditional"] = FloatDistribution(0, 1) if number % 3 == 1 else FloatDistribution(5, 6)
        params = study.ask(space).params
        trials.append(trial(number, params, space, round(params["linear"] + generator.normal(), 1)))
    return trials


def by_optuna(trials, repeats):
    study = optuna.create_study(direction="maximize")
    for t, times in zip(trials, repeats, strict=True):
        value = t.result.metrics[METRIC]
        frozen = optuna.trial.create_trial(params=t.params, distributions=t.distributions, value=value)
        study.add_trials([frozen] * times)
    return PedAnovaImportanceEvaluator(target_quantile=BEST).evaluate(study)


@pytest.mark.filterwarnings("ignore:Some regimes")  # few trials are the point
@pytest.mark.parametrize("count", [4, 9, 30, 100])
def test_every_resample_gets_the_shares_of_optuna(count):
    trials = mixed(count, seed=count)
    names = [*SPACE, "conditional"]
    losses = -np.array([t.result.metrics[METRIC] for t in trials])
    weights = np.array([np.ones(count), *np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), 2)])
    found = PedAnova(trials, names, BEST)(np.tile(losses, (3, 1)), weights)
    for row, repeats in zip(found, weights.astype(int).tolist(), strict=True):
        theirs = by_optuna(trials, repeats)
        expected = np.array([theirs.get(name, 0.0) for name in names])
        np.testing.assert_allclose(row / row.sum(), expected / expected.sum(), rtol=1e-9)


def test_2000_trials_of_9_parameters_are_ranked():
    report = measure_importance(plant(NINE, 2000, seed=0), METRIC)
    assert report.rows[0].parameter == "ppo.learning_rate" and report.trials == 2000


def test_fanova_without_scikit_learn_is_refused_in_one_line(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(StudyError, match="fanova: needs the extra `analysis`: pip install scikit-learn") as error:
        measure_importance(plant(SIX, 64, seed=0), METRIC, estimator="fanova")
    assert "\n" not in str(error.value)


def test_fanova_leaves_out_what_only_some_trials_have():
    trials = plant(SIX, 20, seed=0)
    del trials[0].params["network"]
    report = measure_importance(trials, METRIC, estimator="fanova")
    assert report.left_out == {"network": "only 19 of 20 trials have it: fanova needs it in all"}


@pytest.mark.slow
def test_fanova_finds_the_top_two():
    space = {name: SIX[name] for name in sorted(TOP_TWO | WITHOUT_EFFECT)}  # a set has another order in each process
    report = measure_importance(plant(space, 64, seed=0, noise=0.2), METRIC, estimator="fanova")
    assert report.is_sufficient and {row.parameter for row in report.rows[:2]} == TOP_TWO


def test_where_most_trials_share_the_worst_value_the_best_are_those_above_it():
    trials = [
        trial(n, {"rate": rate}, {"rate": SHARE}, float(rate > 0.8)) for n, rate in enumerate(np.linspace(0, 1, 60))
    ]  # a fifth
    report = measure_importance(trials, METRIC)
    assert report.reliability == "sufficient"


def test_where_all_values_are_equal_nothing_stands_out():
    trials = [trial(n, {"rate": rate}, {"rate": SHARE}, 0.0) for n, rate in enumerate(np.linspace(0, 1, 60))]
    assert measure_importance(trials, METRIC).reliability == "insufficient: no parameter stands out from chance"
