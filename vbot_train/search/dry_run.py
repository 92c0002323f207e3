"""What a search is about to do: told at its start, and all that a dry run does."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState
from rich.console import Console

from vbot_train.analysis.ranking import shown
from vbot_train.search.execution.trial_queue import queue_trial
from vbot_train.search.space.constraints import BUILT_IN
from vbot_train.search.space.space import Candidate
from vbot_train.search.spec import Question
from vbot_train.study.accounting import ORIGIN, RETRY_OF, Ledger, identity, params_of
from vbot_train.training.result import FILE_NAME, ResultError, TrialResult

PROPOSALS = 10  # shown by a dry run
LOOKED_AT = 50  # results, for the machine's speed


def announce(question: Question) -> Iterator[str]:
    """What is searched, line by line."""
    yield from (f"  {key}: {text}" for key, text in question.space.describe().items())
    yield from (f"  search.around: {note}" for note in question.notes)
    found = question.survey
    kind = "cells" if question.grid else "random points"
    broken = "".join(f", {count} break {rule}" for rule, count in found.broken.items())
    yield f"  {len(found.feasible)} of {found.points} {kind} are feasible{broken}"
    for rule in question.callback.rules:
        if rule not in found.holds and rule not in BUILT_IN:
            yield f"  warning: the rule {rule} holds for none of them"
    if len(found.feasible) > 1:
        yield f"  {question.plan}"
    for prior in question.priors:
        if prior.params is None:
            yield f"  not tried first: {prior.name}: {prior.reason}"
        else:
            yield f"  tried first: {prior.name}"


def show(lines: Iterator[str] | Sequence[str]) -> None:
    """Print lines as they are."""
    console = Console(highlight=False, soft_wrap=True)
    for line in lines:
        console.print(line, markup=False)


def dry_run(question: Question, trials: Sequence[FrozenTrial], studies: Path) -> Iterator[str]:
    """What the search would do, line by line.

    Args:
        question: The search.
        trials: Of the study that it would continue.
        studies: Directory of other studies, whose trials tell how fast this machine is.
    """
    yield from announce(question)
    ledger = Ledger(trials, question.job["search"]["retries"])
    ended = f", of which {ledger.started} are there" if trials else ""
    yield f"  {question.total} trials{ended}, {question.workers} at a time"
    candidates = list(first_proposals(question, trials))
    for place, candidate in enumerate(candidates):
        yield f"  {ledger.started + place:>3}  {shown(candidate.params)}"
    later = question.plan.trainings / question.job["search"]["seeds_per_trial"]
    yield f"  {cost(question, question.total - ledger.started + later, candidates, studies)}"


def first_proposals(question: Question, trials: Sequence[FrozenTrial]) -> Iterator[Candidate]:
    """The next configurations, as if none of them told the sampler anything."""
    study = optuna.create_study(direction=question.direction)
    proposals, retries = question.proposals(), question.job["search"]["retries"]
    before = Ledger(trials, retries)
    study.add_trials(before.trials)
    ranges = question.space.distributions
    for trial in before.owed_by_older:
        queue_trial(study, params_of(trial), ranges, {ORIGIN: "proposed", RETRY_OF: trial.number})
    for _ in range(PROPOSALS):
        ledger = Ledger(study.get_trials(deepcopy=False), retries)
        if not (ledger.interrupted or ledger.waiting):
            if ledger.promised >= question.total:
                return
            untried = [p.params for p in question.priors if p.params and identity(p.params) not in ledger.taken]
            point = next(iter(untried), None) or proposals.draw(ledger.trials, ledger.taken, ledger.proposals)
            if point is None:
                return
            queue_trial(study, point, ranges, {ORIGIN: "proposed"})
            ledger = Ledger(study.get_trials(deepcopy=False), retries)
        trial = [*ledger.interrupted, *ledger.waiting][0]
        study._storage.set_trial_state_values(trial._trial_id, TrialState.RUNNING)
        yield question.space.candidate(params_of(trial))


def cost(question: Question, trials: float, candidates: Sequence[Candidate], studies: Path) -> str:
    """What that many trials like the candidates cost: env steps, and hours where the machine's speed is known."""
    if not candidates:
        return "nothing is left to train"
    each = statistics.mean(env_steps(candidate.config) for candidate in candidates)
    text = f"about {trials * each:,.0f} env steps, evaluation included"
    speeds = measured_speeds(studies, question.job["training"]["env_steps"])
    if not speeds:
        return f"{text}; how long that takes is not known before a trial of this length was trained in {studies}"
    minutes = trials * each / statistics.median(speeds) / question.workers / 60
    time = f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:.1f} h"
    return f"{text}, some {time} at the speed of the last {len(speeds)} trials of this length in {studies}"


def env_steps(config: Mapping[str, Any]) -> float:
    """Env steps of a trial: training, choosing the checkpoint, and the two evaluations at the end."""
    training, env = config["training"], config["env"]
    episodes = training["evaluations"] * training["selection_episodes"] + 2 * training["evaluation_episodes"]
    per_episode = env["episode_length_s"] / (env["physics_dt_s"] * env["physics_steps"])
    return float((training["env_steps"] + episodes * per_episode) * config["search"]["seeds_per_trial"])


def measured_speeds(studies: Path, length: int) -> list[float]:
    """Env steps per second of completed trials, the last ones first, that trained about as long."""
    files = sorted(studies.glob(f"*/trials/*/{FILE_NAME}"), key=lambda path: -path.stat().st_mtime)
    speeds = []
    for path in files[:LOOKED_AT]:
        result = load_result(path.parent)
        if result is None or result.status != "completed" or result.wall_time_s <= 0:
            continue
        if 0.5 < result.env_steps / max(len(result.seeds), 1) / length < 2:
            speeds.append((result.env_steps + result.evaluation_env_steps) / result.wall_time_s)
    return speeds


def load_result(directory: Path) -> TrialResult | None:
    """A result, None where it cannot be read: an estimate does without."""
    try:
        return TrialResult.load(directory)
    except ResultError:
        return None
