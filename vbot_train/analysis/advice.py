"""Advice on the next step of a study, with its evidence.

Each kind of advice is a statistical test. Its thresholds were tuned on simulated studies (tests/analysis/deserving.py):
it is given in at least 90 % of the studies where it applies and in at most 5 % of ordinary ones.
"""

import itertools
import json
import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vbot_train.analysis.evidence.corners import find_corner
from vbot_train.analysis.evidence.noise import Contrast, Unstable, compare_with_noise, find_unstable, is_learning_search
from vbot_train.analysis.evidence.ranges import Range, list_ranges, measure_distance
from vbot_train.analysis.evidence.regions import Region, find_region
from vbot_train.analysis.evidence.trends import Trend, find_trend, measure_early_share
from vbot_train.analysis.ranking import Configuration, group_by_configuration, name_configuration
from vbot_train.analysis.verdict import Verdict
from vbot_train.study.trials import Trial
from vbot_train.training.metrics import METRICS

ENOUGH = 10  # trials needed to test for trends
WIDEN = 2  # number of ranges to widen, narrowest first
HALF = 0.4  # share of the final differences that is visible at half length; 0.5 if they grow linearly
EDGE = 0.25  # outer part of a range, on its own (linear or log) scale
ALPHA_EDGE, ALPHA_OUTER = 0.01, 0.1  # trend over a range, corrected for the number of tests; trend over its outer half
ALPHA_REGION = 0.01
SHARE, PRECISION = 0.5, 0.75  # minimum recall and precision of a rule for diverged trials
FEWEST = 4  # trials needed to measure their distance
CROWDED = 0.4  # distance between proposals, relative to the distance between start-up trials
GAIN, GAIN_LATE = 1.2, 0.7  # gain over the best start-up trial, over the best of the first half; in std. deviations


@dataclass(frozen=True, slots=True)
class Advice:
    """One recommended next step and its evidence."""

    name: str  # alike, too_short, edge, unstable, diverging, stuck
    text: str  # what to do
    evidence: str  # the numbers that support it
    line: str | None  # overrides to add to the command line, quoted for the shell


def give_advice(verdict: Verdict) -> list[Advice]:
    """Return all advice that applies to the study."""
    shaky = find_unstable(verdict)
    seen = compare_with_noise(verdict, without=[one.found.number for one in shaky])
    stuck = _advise_stuck(verdict)
    found = [stuck, _advise_longer(verdict, seen)]
    found += (
        [] if stuck else [_advise_alike(verdict, seen), *_advise_edges(verdict)]
    )  # a stuck search has sampled one region only
    found += [
        _advise_diverging(verdict),
        *(_advise_unstable(verdict, one, place) for place, one in enumerate(shaky, start=1)),
    ]
    return [advice for advice in found if advice is not None]


def _advise_alike(verdict: Verdict, seen: Contrast | None) -> Advice | None:
    """Advise wider ranges if configurations differ by no more than seeds do."""
    if seen is None or not seen.alike:
        return None
    ordered = sorted((r for r in list_ranges(verdict.study.trials) if r.ordered), key=lambda there: there.decades)
    wider = {there.key: text for there in ordered if (text := there.wider(low=True, high=True)) is not None}
    keys = list(wider)[:WIDEN]
    what = f"widen the narrowest ranges ({', '.join(keys)})" if keys else "search other parameters"
    return Advice(
        name="alike",
        text=f"All configurations perform alike, as far as seeds let one see: {what}.",
        evidence=f"{len(verdict.screened)} configurations scatter by {seen.between:.3g}, the seeds of one by "
        f"{seen.noise:.3g} (F = {seen.ratio:.2f}, p = {seen.p:.2g}, {seen.freedom} degrees of freedom of the noise)"
        + (f"; the best, trained again, exceed the average by {seen.lead:.3g}." if seen.lead is not None else "."),
        line=shlex.join(wider[key] for key in keys) or None,
    )


def _advise_longer(verdict: Verdict, seen: Contrast | None) -> Advice | None:
    """Advise longer trials if values at half length do not predict the final ones, although configurations differ.

    Intermediate values are means over few episodes and final values over many, so this noise must not count as a change
    of rank. Not tested with a scheduler: only trials that were good early finish, which weakens the relation.
    """
    training = verdict.study.record.settings.training
    evaluations, env_steps = training.evaluations, training.env_steps
    optimized = verdict.metric == verdict.study.record.metric  # trials report intermediate values of the objective only
    if evaluations is None or env_steps is None or not optimized:
        return None
    if seen is None or not seen.differ or verdict.study.paused or verdict.study.pruned:
        return None
    half = (evaluations + 1) // 2
    found = [on_the_way(each, (half, evaluations), verdict.metric) for each in verdict.screened]
    rows = [row for row in found if row is not None]
    if evaluations < 2 or len(rows) < ENOUGH:
        return None
    share, low, high = measure_early_share(np.array(rows))
    if high >= HALF:
        return None
    return Advice(
        name="too_short",
        text="The trials are too short, what sets them apart comes in their second half: train for twice as long.",
        evidence=f"Of the differences between configurations in the end, {share:.0%} (90 % interval {low:.0%} to "
        f"{high:.0%}) were there at evaluation {half} of {evaluations}, the noise of the few episodes taken out; "
        f"{len(rows)} configurations of {env_steps:_} env steps.",
        line=f"training.env_steps={2 * env_steps:_}",
    )


def on_the_way(found: Configuration, evaluations: Sequence[int], metric: str) -> NDArray[np.float64] | None:
    """Return a configuration's values at some evaluations and its final value: means over the trials that have all."""
    values = [(trial.intermediate, trial.result.get_objective(metric)) for trial in found.trials]  # None: a seed failed
    whole = [(seen, final) for seen, final in values if final is not None and all(n in seen for n in evaluations)]
    rows = [[*(seen[number] for number in evaluations), final] for seen, final in whole]
    return np.array(rows, dtype=float).mean(axis=0) if rows else None


def _advise_edges(verdict: Verdict) -> list[Advice]:
    """Advise to extend each range whose best value lies near an end if trials improve up to that end."""
    found = group_by_configuration(verdict.study.trials)
    ordered = [there for there in list_ranges(verdict.study.trials) if there.ordered]
    if np.isfinite([_mean_value(each, verdict.metric) for each in found]).sum() < ENOUGH:
        return []
    tests = 2 * len(ordered)
    advised = [_advise_edge(verdict, there, found, tests, up=up) for there in ordered for up in (False, True)]
    return [advice for advice in advised if advice is not None]


def _advise_edge(
    verdict: Verdict, there: Range, found: Sequence[Sequence[Trial]], tests: int, *, up: bool
) -> Advice | None:
    assert verdict.winner is not None
    best = verdict.winner.params[there.key]
    wider = there.wider(low=not up, high=up)
    at_end = there.place(best) >= 1 - EDGE if up else there.place(best) <= EDGE
    seen = _towards(found, there, verdict.metric, up=up) if at_end and wider is not None else None
    if wider is None or seen is None or seen.p * tests > ALPHA_EDGE or seen.p_outer > ALPHA_OUTER:
        return None
    return Advice(
        name="edge",
        text=f"The best lies at the {'upper' if up else 'lower'} end of {there.key} ({best:.3g}): extend the range.",
        evidence=f"Towards {there.ends[up]:.3g} trials become better: rank correlation {seen.correlation:.2f} "
        f"(p = {seen.p * tests:.2g}, corrected for {tests} ends), still so in the outer half of the range "
        f"(p = {seen.p_outer:.2g}).",
        line=shlex.quote(wider),
    )


def _towards(found: Sequence[Sequence[Trial]], there: Range, metric: str, *, up: bool) -> Trend | None:
    """Return the weaker of two trends: of completed configurations only, and with diverged ones ranked worst.

    So no range is extended towards diverged trials, or only because trials diverge at its other end. Each configuration
    counts once: its replicates are not independent evidence.
    """
    places = np.array([there.place(each[0].params[there.key]) for each in found])
    towards = places if up else 1 - places
    values = np.array([_mean_value(each, metric) for each in found])
    completed = np.isfinite(values)
    diverged = np.array([any(trial.result.status == "diverged" for trial in each) for each in found])
    worst = np.where(diverged, values[completed].min() - 1, values)
    ended = completed | diverged
    seen = find_trend(towards[completed], values[completed]), find_trend(towards[ended], worst[ended])
    return None if seen[0] is None or seen[1] is None else max(seen[0], seen[1], key=lambda each: each.weakness)


def _mean_value(trials: Sequence[Trial], metric: str) -> float:
    """Return the mean over a configuration's trials with a value, higher is better; minus infinity without any."""
    values = [value for trial in trials if (value := trial.result.get_objective(metric)) is not None]
    return float(np.mean(values)) * METRICS[metric].sign if values else -math.inf


def _list_diverged(verdict: Verdict) -> list[Trial]:
    return [trial for trial in verdict.study.trials if trial.result.status == "diverged"]


def _advise_unstable(verdict: Verdict, one: Unstable, place: int) -> Advice:
    """Advise to exclude the region that an unstable finalist shares with diverged trials, or else its corner."""
    own, diverged = one.found.trials, _list_diverged(verdict)
    others = [trial for trial in verdict.study.rank(verdict.metric) if trial not in own]
    region = find_region([own[0], *diverged], others)
    if region is not None and _clear(region) and region.holds[0]:
        rule: str | None = region.rule
        why = f"It shares a region with diverged trials. {_evidence(region, 'diverged or unstable')}"
    else:
        stable = [found.params for found in verdict.finalists if found.number != one.found.number]
        rule = find_corner(one.found.params, stable, list_ranges(own))
        why = "Nothing tells it from the other trials, so the rule is for its corner of the space alone."
    seemed = "looked best in the search" if one.found.number == verdict.screened[0].number else "won"
    return Advice(
        name="unstable",
        text=f"{name_configuration(one.found.number)} {seemed}, but is unstable across seeds: "
        + (f"leave out {rule}." if rule else "leave it out (no rule spares the other finalists)."),
        evidence=f"{_seeds(one)} {why}",
        line=None
        if rule is None
        else _suggest_constraint(verdict, "unstable" if place == 1 else f"unstable_{place}", rule),
    )


def _seeds(one: Unstable) -> str:
    reached = ", ".join(f"{value:.3g}" for value in one.values) or "no value"
    lost = "".join(
        f"; seed {seed} {'diverged' if end == 'diverged' else 'has none'}" for seed, end in one.failed_seeds.items()
    )
    others = "" if one.others is None else f", that of the other finalists' seeds {one.others:.3g}"
    return f"Its fresh seeds reached {reached}{lost} (standard deviation {one.deviation:.3g}{others})."


def _advise_diverging(verdict: Verdict) -> Advice | None:
    """Advise to exclude a region in which trials diverge."""
    sound = [trial for trial in verdict.study.trials if trial.result.status == "completed"]
    region = find_region(_list_diverged(verdict), [*sound, *verdict.study.paused])
    if region is None or not _clear(region):
        return None
    return Advice(
        name="diverging",
        text=f"Trials diverge where {region.rule}: leave that region out.",
        evidence=_evidence(region, "diverged"),
        line=_suggest_constraint(verdict, "diverges", region.rule),
    )


def _clear(region: Region) -> bool:
    """Check whether a rule is significant and has sufficient precision and recall."""
    precise = region.inside >= PRECISION * (region.inside + region.outside)
    return region.p <= ALPHA_REGION and precise and region.inside >= SHARE * len(region.holds)


def _evidence(region: Region, ended: str) -> str:
    return (
        f"The rule holds for {region.inside} of {len(region.holds)} {ended} and {region.outside} of "
        f"{region.others} completed trials (Fisher's exact p = {region.fisher:.2g}); the best of {region.rules} rules "
        f"is as clear in {region.p:.1%} of shuffled studies."
    )


def _suggest_constraint(verdict: Verdict, name: str, rule: str) -> str:
    """Return the override that adds a rule as a constraint under an unused name."""
    taken = verdict.study.record.constraints
    free = next(k for k in itertools.chain([name], (f"{name}_{n}" for n in itertools.count(2))) if k not in taken)
    return shlex.quote(f"+search.constraints.{free}={json.dumps(rule)}")


def _advise_stuck(verdict: Verdict) -> Advice | None:
    """Advise more random trials if proposals cluster and hardly improve on the best start-up trial."""
    start_up = verdict.study.record.sampler_settings.n_startup_trials
    trials = sorted(verdict.study.trials, key=lambda trial: trial.number)
    late = [trial for trial in trials[len(trials) // 2 :] if trial.origin in (None, "proposed")]
    ranges = list_ranges(trials)
    if (
        not is_learning_search(verdict.study)
        or not ranges
        or len(trials) < 2 * start_up
        or min(start_up, len(late)) < FEWEST
    ):
        return None
    apart, apart_early = measure_distance(late, ranges), measure_distance(trials[:start_up], ranges)
    over_start_up, over_first_half = _gain(verdict, start_up), _gain(verdict, len(trials) // 2)
    if apart > CROWDED * apart_early or over_start_up > GAIN or over_first_half > GAIN_LATE:
        return None
    more = max(math.ceil(len(trials) / 3), 2 * start_up)
    return Advice(
        name="stuck",
        text=f"The search is stuck near what its first trials had found: begin with {more} random ones.",
        evidence=f"Two of the last {len(late)} proposals lie {apart:.2f} of a range apart, two of the {start_up} "
        f"start-up trials {apart_early:.2f}; the best exceeds the best of these by {over_start_up:.2f} of their "
        f"standard deviations, and the best of the first half of the study by {over_first_half:.2f}.",
        line=f"hydra.sweeper.sampler.n_startup_trials={more}",
    )


def _gain(verdict: Verdict, first: int) -> float:
    """Return the lead of the best trial over the best of the first ones, in standard deviations of the latter."""
    values = _in_time(verdict)
    early = values[:first][np.isfinite(values[:first])]
    if len(early) < FEWEST or early.std() == 0:
        return math.inf
    return float((values.max() - early.max()) / early.std(ddof=1))


def _in_time(verdict: Verdict) -> NDArray[np.float64]:
    """Return the value of each trial by number, higher is better; minus infinity for trials without a value."""
    sign = METRICS[verdict.metric].sign
    trials = sorted(verdict.study.trials, key=lambda trial: trial.number)
    found = [trial.result.get_objective(verdict.metric) for trial in trials]
    return np.array([-math.inf if value is None else sign * value for value in found])
