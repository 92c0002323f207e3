"""Description of a planned search: printed at its start, and the only output of a dry run."""

import itertools
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial
from rich.console import Console

from vbot_train.analysis.ranking import format_params
from vbot_train.search.space.constraints import BUILT_IN
from vbot_train.search.space.space import Candidate
from vbot_train.search.spec import SearchSpec
from vbot_train.study.accounting import TrialCounts, identify, read_params
from vbot_train.training.result import FILE_NAME, ResultError, TrialResult

PROPOSALS = 10  # shown by a dry run
LOOKED_AT = 50  # latest results, to estimate the machine's speed


def announce(spec: SearchSpec) -> Iterator[str]:
    """Describe the search's specification, line by line."""
    yield from (f"  {key}: {text}" for key, text in spec.space.describe().items())
    yield from (f"  search.around: {note}" for note in spec.notes)
    found = spec.survey
    kind = "cells" if spec.grid else "random points"
    broken = "".join(f", {count} break {rule}" for rule, count in found.broken.items())
    yield f"  {len(found.feasible)} of {found.points} {kind} are feasible{broken}"
    for rule in spec.callback.rules:
        if rule not in found.holds and rule not in BUILT_IN:
            yield f"  warning: the rule {rule} holds for none of them"
    if spec.rungs:
        yield f"  {spec.rungs}"
    if len(found.feasible) > 1:
        yield f"  {spec.plan}"
    for point in spec.points:
        if point.params is None:
            yield f"  not tried first: {point.name}: {point.reason}"
        else:
            yield f"  tried first: {point.name}"


def show(lines: Iterator[str] | Sequence[str]) -> None:
    """Print lines without markup, highlighting or wrapping."""
    console = Console(highlight=False, soft_wrap=True)
    for line in lines:
        console.print(line, markup=False)


def describe_dry_run(spec: SearchSpec, trials: Sequence[FrozenTrial], studies: Path) -> Iterator[str]:
    """Describe what the search would do, line by line.

    Args:
        spec: The search's specification.
        trials: Trials of the study that it would continue.
        studies: Directory of other studies, whose trials give the speed of this machine.
    """
    yield from announce(spec)
    counts = TrialCounts(trials, spec.config.search.retries, rungs=spec.rungs)
    ended = f", of which {counts.started} are there" if trials else ""
    yield f"  {spec.how_many}{ended}, {spec.workers} at a time"
    candidates = list(draw_first_proposals(spec, trials))
    for place, candidate in enumerate(candidates):
        yield f"  {counts.started + place * spec.seeds_per_configuration:>3}  {format_params(candidate.params)}"
    configurations = max(spec.trials - counts.started, 0) / (seeds := spec.seeds_per_configuration)
    trainings = configurations * spec.rungs.estimate_trainings(seeds) + spec.plan.trainings
    yield f"  {estimate_cost(spec, trainings, candidates, studies)}"


def draw_first_proposals(spec: SearchSpec, trials: Sequence[FrozenTrial]) -> Iterator[Candidate]:
    """Yield the next ``PROPOSALS`` configurations, as if the sampler learned nothing from any of them."""
    counts = TrialCounts(trials, spec.config.search.retries, rungs=spec.rungs)
    waiting = [read_params(trial) for trial in (*counts.interrupted, *counts.waiting)]
    left = max(spec.total - counts.promised // spec.seeds_per_configuration, 0)
    points = itertools.chain(waiting, itertools.islice(_draw_new_points(spec, counts), left))
    yield from map(spec.space.compose_candidate, itertools.islice(points, PROPOSALS))


def _draw_new_points(spec: SearchSpec, counts: TrialCounts) -> Iterator[Mapping[str, Any]]:
    """Yield the initial points that were not tried, then proposals."""
    proposals, taken = spec.build_proposals(), set(counts.taken)
    untried = [point.params for point in spec.points if point.params and identify(point.params) not in taken]
    for index in itertools.count(counts.proposals):
        point = untried.pop(0) if untried else proposals.draw(counts.trials, taken, index)
        if point is None:
            return
        taken.add(identify(point))
        yield point


def estimate_cost(spec: SearchSpec, trials: float, candidates: Sequence[Candidate], studies: Path) -> str:
    """Estimate the cost of trials like the candidates: env steps, and the time if the machine's speed is known."""
    if not candidates:
        return "nothing is left to train"
    each = statistics.mean(candidate.validate().trial_env_steps for candidate in candidates)
    text = f"about {trials * each:,.0f} env steps, evaluation included"
    speeds = read_speeds(studies, spec.config.training.env_steps)
    if not speeds:
        return f"{text}; how long that takes is not known before a trial of this length was trained in {studies}"
    minutes = trials * each / statistics.median(speeds) / spec.workers / 60
    time = f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:.1f} h"
    return f"{text}, some {time} at the speed of the last {len(speeds)} trials of this length in {studies}"


def read_speeds(studies: Path, length: int) -> list[float]:
    """Return the env steps per second of completed trials of about this length [env steps], latest first."""
    files = sorted(studies.glob(f"*/trials/*/{FILE_NAME}"), key=lambda path: -path.stat().st_mtime)
    speeds = []
    for path in files[:LOOKED_AT]:
        result = load_result(path.parent)
        if result is None or result.status != "completed" or result.wall_time_s <= 0:
            continue
        if 0.5 < result.env_steps / length < 2:
            speeds.append((result.env_steps + result.evaluation_env_steps) / result.wall_time_s)
    return speeds


def load_result(directory: Path) -> TrialResult | None:
    """Load a result; None if it cannot be read, as an estimate works without it."""
    try:
        return TrialResult.load(directory)
    except ResultError:
        return None
