"""Made-up studies that deserve an advice, and ordinary ones that do not: the space of search=full, 40 trials.

Seed noise has standard deviation 1. In an ordinary study, configurations differ by twice as much, for three of the
nine parameters matter, each with its best value well within its range.
"""

from pathlib import Path

import numpy as np
from optuna.distributions import CategoricalDistribution, FloatDistribution

from vbot_train.analysis.evidence.ranges import Range
from vbot_train.analysis.verdict import Verdict
from vbot_train.study.plan import Confirm, Test
from vbot_train.study.record import StudyRecord
from vbot_train.study.trials import Study, Trial
from vbot_train.training.result import TrialResult

TRIALS, EVALUATIONS, ENV_STEPS = 40, 10, 1_000_000
METRIC = "episode_reward_mean"
SEEDS, TEST_SEEDS, TOP_K = [1001, 1002, 1003], [2001, 2002, 2003], 5
START_UP = 10
TPE = {"_target_": "optuna.samplers.TPESampler", "n_startup_trials": START_UP}
SPACE = {
    "ppo.learning_rate": FloatDistribution(1e-5, 1e-2, log=True),
    "ppo.discount_factor": CategoricalDistribution([0.95, 0.97, 0.99, 0.995, 0.999]),
    "ppo.gae_lambda": CategoricalDistribution([0.9, 0.95, 0.97, 0.99]),
    "ppo.ratio_clip": CategoricalDistribution([0.1, 0.15, 0.2, 0.3]),
    "ppo.entropy_loss_scale": FloatDistribution(1e-4, 1e-1, log=True),
    "ppo.learning_epochs": CategoricalDistribution([2, 4, 5, 6, 8, 10]),
    "ppo.mini_batches": CategoricalDistribution([8, 16, 32, 64, 128]),
    "ppo.rollouts": CategoricalDistribution([16, 24, 32, 48, 64]),
    "network": CategoricalDistribution(["small", "medium", "large", "deep"]),
}
RANGES = [Range(key, distribution) for key, distribution in SPACE.items()]
NUMBERS = [there for there in RANGES if there.ordered]


def at(there, place):
    """The value at a place from 0 to 1 of a range."""
    if there.choices is not None:
        return there.choices[min(int(place * len(there.choices)), len(there.choices) - 1)]
    low, high = there.ends
    return float(low * (high / low) ** place)


def drawn(generator, count=TRIALS):
    return [{there.key: at(there, generator.random()) for there in RANGES} for _ in range(count)]


def planted(generator, *, best=None, spread=2.0):
    """A function from parameters to their quality: a hill of standard deviation ``spread``; ``best``: place by key."""
    keys = list(generator.choice([there.key for there in NUMBERS], 3, replace=False))
    tops = {key: generator.uniform(0.3, 0.7) for key in keys} if best is None else best
    weights = dict(zip(tops, generator.uniform(0.5, 1.0, len(tops)), strict=True))

    def raw(params):
        return -sum(weights[r.key] * (r.place(params[r.key]) - tops[r.key]) ** 2 for r in NUMBERS if r.key in tops)

    sample = [raw(params) for params in drawn(generator, 200)]
    mean, deviation = np.mean(sample), np.std(sample)
    return lambda params: float(spread * (raw(params) - mean) / deviation)


def growing(share, value):
    """In proportion to the share of its training, a trial has what it ends with."""
    return share * value


def late(share, value):
    """At half length hardly anything of what tells trials apart shows; at the end, all of it."""
    return share * (10 + max(0.02, 2 * share - 1) * (value - 10))


def early(share, value):
    """From half length on nothing changes any more."""
    return min(2 * share, 1.0) * value


def completed(number, value, seed):
    return TrialResult("completed", number, seed, [seed], metrics={METRIC: float(value)})


def judge(generator, points, quality, *, reached=growing, few=0.3, diverged=(), noise_of=lambda number: 1.0, **record):
    """The verdict on a study of some points, trained, confirmed and tested.

    ``reached``: from a share of a training and its final value to what it has reached by then. ``few``: noise of the
    few episodes that this is measured on; the final value is of many. ``noise_of``: a configuration's seed noise.
    """
    trials = []
    for number, params in enumerate(points):
        value = 10 + quality[number] + noise_of(number) * generator.normal()
        result = completed(number, value, 42)
        shares = np.arange(1, EVALUATIONS + 1) / EVALUATIONS
        curve = {k: reached(share, value) + few * generator.normal() for k, share in enumerate(shares, 1)}
        if number in diverged:
            result, curve = TrialResult("diverged", number, 42, [42]), {}
        trials.append(Trial(number, params, SPACE, result, Path(), curve, "proposed"))
    config = {"training": {"evaluations": EVALUATIONS, "env_steps": ENV_STEPS}}
    plan = {"confirm": Confirm(top_k=TOP_K, seeds=SEEDS), "test": Test(seeds=TEST_SEEDS, evaluation_seed=7)}
    content = StudyRecord("s", METRIC, **{"config": config, **plan, **record})
    found = Verdict(Study(Path(), content, trials, {}), METRIC).screened
    confirm = [(found[k].number, seed) for k in range(min(TOP_K, len(found))) for seed in SEEDS]
    test = [(number, seed) for number in {found[0].number, found[-1].number} for seed in TEST_SEEDS]
    again = [
        [later(number, seed, 10 + quality[number] + noise_of(number) * generator.normal()) for number, seed in stage]
        for stage in (confirm, test)
    ]
    return Verdict(Study(Path(), content, trials, {}, *again), METRIC)


def later(number, seed, value):
    return Trial(seed, {"trial": number}, {}, completed(seed, value, seed), Path(), {})


def ordinary(seed, trials=TRIALS):
    """Configurations differ; one trial in thirty diverges, anywhere."""
    generator = np.random.default_rng(seed)
    points, hill = drawn(generator, trials), planted(generator)
    diverged = set(np.flatnonzero(generator.random(trials) < 1 / 30))
    return judge(generator, points, [hill(params) for params in points], diverged=diverged)


def alike(seed):
    """Nothing but noise."""
    generator = np.random.default_rng(seed)
    diverged = set(np.flatnonzero(generator.random(TRIALS) < 1 / 30))
    return judge(generator, drawn(generator), [0.0] * TRIALS, diverged=diverged)


def edge(seed):
    """The best value of one parameter lies beyond its range; two others matter a little."""
    generator = np.random.default_rng(seed)
    points, other = drawn(generator), planted(generator, spread=0.7)
    key = str(generator.choice([there.key for there in NUMBERS]))
    hill = planted(generator, best={key: generator.choice([-0.6, 1.6])}, spread=3.0)
    return judge(generator, points, [hill(params) + other(params) for params in points])


def unstable(seed):
    """What looked best collapses on one of its seeds, or diverges on it."""
    generator = np.random.default_rng(seed)
    points, hill = drawn(generator), planted(generator)
    verdict = judge(generator, points, [hill(params) for params in points])
    number, hit = verdict.screened[0].number, int(generator.integers(len(SEEDS)))
    collapsed = later(number, SEEDS[hit], generator.normal())
    lost = Trial(SEEDS[hit], {"trial": number}, {}, TrialResult("diverged", None, SEEDS[hit]), Path(), {})
    study = verdict.study
    study.confirm[hit] = collapsed if generator.random() < 0.7 else lost  # the first three are the first finalist's
    return Verdict(study, METRIC)


def too_short(seed):
    """At half length hardly anything of the final order shows."""
    generator = np.random.default_rng(seed)
    points, hill = drawn(generator), planted(generator)
    return judge(generator, points, [hill(params) for params in points], reached=late)


def roughly_measured(seed):
    """Over at half length, but measured on so few episodes until the end that their noise is twice the spread."""
    generator = np.random.default_rng(seed)
    points, hill = drawn(generator), planted(generator)
    return judge(generator, points, [hill(params) for params in points], reached=early, few=4.0)


def diverging(seed):
    """A region diverges in which a fifth of the trials lie: beyond a learning rate, or with many epochs beyond one."""
    generator = np.random.default_rng(seed)
    points, hill = drawn(generator), planted(generator)
    narrow = generator.random() < 0.5
    limit, epochs = (2e-3, 0) if narrow else (3e-4, 6)
    region = {k for k, p in enumerate(points) if p["ppo.learning_rate"] > limit and p["ppo.learning_epochs"] > epochs}
    return judge(generator, points, [hill(params) for params in points], diverged=region)


def bayesian(seed, trials=TRIALS):
    """Proposals around the best so far, a third of all values drawn afresh."""
    generator = np.random.default_rng(seed)
    points, hill = drawn(generator, START_UP), planted(generator)
    values = [hill(params) + generator.normal() for params in points]
    while len(points) < trials:
        points.append(near(generator, points[int(np.argmax(values))], width=0.2, afresh=1 / 3))
        values.append(hill(points[-1]) + generator.normal())
    return judge(generator, points, [hill(params) for params in points], sampler=TPE)


def stuck(seed, trials=TRIALS):
    """Proposals around the best of the start-up trials, which stands on a hill of its own."""
    generator = np.random.default_rng(seed)
    points, hill = drawn(generator, START_UP), planted(generator)
    qualities = [hill(params) for params in points]
    top = int(np.argmax(qualities))
    points += [near(generator, points[top], width=0.05, afresh=0.05) for _ in range(trials - START_UP)]
    qualities += [qualities[top] - abs(1.5 * generator.normal()) for _ in points[START_UP:]]
    return judge(generator, points, qualities, sampler=TPE)


def near(generator, center, *, width, afresh):
    """A point around another one."""
    moved = {r.key: r.place(center[r.key]) + width * generator.normal() for r in NUMBERS}
    kept = center | {r.key: at(r, float(np.clip(moved[r.key], 0, 1))) for r in NUMBERS}
    return {key: value if generator.random() < afresh else kept[key] for key, value in drawn(generator, 1)[0].items()}
