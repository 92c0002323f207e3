"""Each advice fires on studies that deserve it, and is silent on those that do not."""

import math
import shlex
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from deserving import (
    METRIC,
    SPACE,
    alike,
    bayesian,
    completed,
    diverging,
    drawn,
    edge,
    judge,
    ordinary,
    roughly_measured,
    stuck,
    too_short,
    unstable,
)
from hydra.core.override_parser.overrides_parser import OverridesParser
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from studies import screened

from vbot_train.analysis.advice import give_advice, on_the_way
from vbot_train.analysis.evidence.corners import find_corner
from vbot_train.analysis.evidence.noise import pool_variance
from vbot_train.analysis.evidence.ranges import Range, measure_distance
from vbot_train.analysis.evidence.regions import find_region
from vbot_train.analysis.evidence.trends import measure_early_share
from vbot_train.analysis.ranking import Configuration
from vbot_train.analysis.verdict import Verdict
from vbot_train.search.space.constraints import compile_rules
from vbot_train.study.record import StudyRecord
from vbot_train.study.trials import Study, Trial

DESERVING = {found.__name__: found for found in (alike, edge, unstable, too_short, stuck, diverging)}
STUDIES = 100


def names(verdict):
    return {advice.name for advice in give_advice(verdict)}


def share(make, studies=STUDIES):
    counts = Counter(name for seed in range(studies) for name in names(make(seed)))
    return {name: count / studies for name, count in counts.items()}


@pytest.mark.slow
@pytest.mark.parametrize("name", DESERVING)
def test_in_nine_of_ten_studies_that_deserve_an_advice_it_is_given(name, say):
    rates = share(DESERVING[name])
    say(f"studies that deserve {name}: {rates}")
    assert rates[name] >= 0.9


@pytest.mark.slow
@pytest.mark.parametrize("make", [ordinary, bayesian, roughly_measured])
def test_in_one_of_twenty_ordinary_studies_at_most_an_advice_is_given(make, say):
    rates = share(make)
    say(f"ordinary studies ({make.__name__}): {rates}")
    assert all(rate <= 0.05 for rate in rates.values())


@pytest.mark.slow
def test_where_all_is_noise_only_that_is_said():
    assert all(rate <= 0.05 for name, rate in share(alike).items() if name != "alike")


@pytest.mark.parametrize("name", DESERVING)
def test_every_advice_is_given_with_a_line_that_hydra_can_read(name):
    found = [a for seed in range(3) for a in give_advice(DESERVING[name](seed)) if a.name == name]
    assert found and all(advice.text and advice.evidence for advice in found)
    for advice in found:
        for override in OverridesParser.create().parse_overrides(shlex.split(advice.line)):
            if override.key_or_group.startswith("search.constraints."):
                compile_rules({"advised": override.value()})


def test_the_noise_of_few_episodes_alone_makes_no_study_too_short():
    assert not any("too_short" in names(roughly_measured(seed)) for seed in range(10))


def test_what_half_a_training_shows_does_not_depend_on_the_noise_of_few_episodes():
    generator = np.random.default_rng(0)
    final = generator.normal(size=500)
    exact = np.column_stack([0.5 * final, final, final])
    assert measure_early_share(exact) == pytest.approx((0.5, 0.5, 0.5))
    few = exact + generator.normal(size=(500, 3)) * [1.0, 1.0, 0.0]
    share, low, high = measure_early_share(few)
    assert low < 0.5 < high and share == pytest.approx(0.5, abs=0.1)


def test_where_the_end_of_a_training_shows_no_difference_its_half_is_not_blamed():
    assert measure_early_share(np.column_stack([np.arange(20.0), np.ones(20), np.arange(20.0)])) == (1.0, 1.0, 1.0)


def test_a_study_without_trials_or_settings_gets_no_advice():
    assert give_advice(Verdict(Study(Path(), StudyRecord("s", METRIC), [], {}), METRIC)) == []
    trials = ordinary(0).study.trials
    assert "stuck" not in names(Verdict(Study(Path(), StudyRecord("s", METRIC), trials, {}), METRIC))


def test_the_name_of_an_advised_rule_is_free():
    study = diverging(0).study
    taken = replace(study, record=replace(study.record, constraints={"diverges": "ppo.rollouts > 99"}))
    lines = [advice.line for advice in give_advice(Verdict(taken, METRIC)) if advice.name == "diverging"]
    assert lines[0].startswith("'+search.constraints.diverges_2=")


@pytest.mark.parametrize(
    ("distribution", "wider"),
    [
        (FloatDistribution(1e-4, 1e-2, log=True), "interval(1e-5,0.1)"),  # a decade is half of two
        (FloatDistribution(1e-4, 1e-1, log=True), "interval(1e-5,0.55)"),  # a decade at most, and below 1
        (FloatDistribution(0.0, 2.0), "interval(0,3)"),  # half of 2 more, and nothing below zero
        (CategoricalDistribution([0.99, 0.995, 0.999]), "choice(0.98,0.99,0.995,0.999,0.9995)"),  # halves the rest to 1
        (CategoricalDistribution([8, 16, 32]), "choice(4,8,16,32,64)"),
        (CategoricalDistribution([4, 6, 8]), "choice(2,4,6,8,10)"),
        (IntDistribution(8, 16), "range(4,21,1)"),  # Hydra's interval would be one of floats
        (IntDistribution(10, 1000, log=True), "tag(log,int(interval(1,10000)))"),
        (IntDistribution(8, 64, step=8), "range(8,104,8)"),  # 28 more are four steps, the stop is exclusive
    ],
)
def test_a_range_is_widened_in_its_own_scale(distribution, wider):
    assert wider in Range("ppo.key", distribution).wider(low=True, high=True)


def test_a_region_is_told_by_the_threshold_between_two_groups():
    rates = [1e-3, 2e-3, 3e-3, 4e-3, *[5e-3 + k * 1e-4 for k in range(6)]]
    space = {"ppo.learning_rate": SPACE["ppo.learning_rate"]}
    trials = [Trial(k, {"ppo.learning_rate": x}, space, completed(k, 0, 1), Path(), {}) for k, x in enumerate(rates)]
    region = find_region(trials[4:], trials[:4])
    assert region.rule == "ppo.learning_rate > 0.0045"  # the geometric middle of 0.004 and 0.005
    assert (region.inside, region.outside) == (6, 0)
    assert region.fisher == pytest.approx(1 / math.comb(10, 4))


def test_replicates_of_one_configuration_are_no_region():
    generator = np.random.default_rng(0)
    diverged, *others = drawn(generator, 40)
    trials = [Trial(0, params, SPACE, None, Path(), {}) for params in (*[diverged] * 6, *others)]
    assert find_region(trials[:6], trials[6:]).p == 1.0  # no other one has six replicates: nothing to hold it against


@pytest.mark.slow
def test_replicates_that_end_alike_are_taken_for_a_region_no_more_often_than_by_chance(say):
    found = []
    for seed in range(100):
        generator = np.random.default_rng(seed)
        points, diverges = drawn(generator, 24), generator.random(24) < 0.2
        counts = generator.integers(1, 5, 24)
        groups = [], []
        for params, count, hit in zip(points, counts, diverges, strict=True):
            groups[int(hit)].extend([Trial(0, params, SPACE, None, Path(), {})] * count)
        region = find_region(groups[1], groups[0])
        found.append(region is not None and region.p <= 0.05)
    say(f"configurations that diverge anywhere, with all their replicates: a region at 5 % in {np.mean(found):.0%}")
    assert np.mean(found) <= 0.1


def test_replicates_of_one_configuration_at_the_end_of_a_range_are_no_trend():
    generator = np.random.default_rng(0)
    points = drawn(generator, 20)
    points[0]["ppo.learning_rate"] = 9e-3
    order = generator.permutation([0] * 20 + list(range(1, 20)))
    quality = [5.0 if number == 0 else 0.0 for number in order]
    verdict = judge(generator, [points[number] for number in order], quality)
    assert not any("ppo.learning_rate" in advice.text for advice in give_advice(verdict) if advice.name == "edge")


def test_a_corner_spares_the_others():
    ranges = [Range(key, SPACE[key]) for key in ("ppo.learning_epochs", "ppo.rollouts", "network")]
    own = {"ppo.learning_epochs": 10, "ppo.rollouts": 16, "network": "deep"}
    assert find_corner(own, [], ranges) == "ppo.learning_epochs >= 10 and ppo.rollouts <= 16"  # a sixth times a fifth
    rule = find_corner(own, [own | {"network": "small"}], ranges)
    assert rule == 'ppo.learning_epochs >= 10 and network == "deep"'
    assert find_corner(own, [own], ranges) is None


def test_the_noise_is_the_pooled_variance_of_the_seeds():
    found = pool_variance([[1.0, 3.0], [5.0], [0.0, 3.0, 6.0]])  # squares 2 and 18 on 1 and 2 degrees of freedom
    assert (found.variance, found.freedom) == (pytest.approx(20 / 3), 3)


def test_trials_lie_apart_by_the_mean_distance_of_two():
    ranges = [Range("ppo.rollouts", SPACE["ppo.rollouts"]), Range("network", SPACE["network"])]
    points = [(16, "small"), (64, "small"), (64, "deep")]  # distances 1, 1, 0 and 0, 1, 1
    trials = [Trial(k, {"ppo.rollouts": a, "network": b}, {}, None, Path(), {}) for k, (a, b) in enumerate(points)]
    assert measure_distance(trials, ranges) == pytest.approx(2 / 3)


def test_what_a_trial_showed_on_the_way_is_not_held_against_a_seed_that_it_lost():
    seen = {1: 0.1, 2: 0.3}
    whole = replace(screened(0, 2.0), intermediate=seen)
    lost = replace(screened(1, 0.0, status="diverged"), intermediate={1: 0.5, 2: 0.7})
    found = Configuration([whole, lost], [whole.result, lost.result], METRIC)
    assert on_the_way(found, (1, 2), METRIC).tolist() == [0.1, 0.3, 2.0]
