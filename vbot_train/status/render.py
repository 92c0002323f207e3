"""Text output of a study's status."""

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from vbot_train.analysis.headline import format_value
from vbot_train.analysis.ranking import describe_seeds, format_cell, format_params, rank_key
from vbot_train.analysis.verdict import DEFAULT, TRIAL, Verdict
from vbot_train.config.composition import look_up
from vbot_train.search.execution.fallback import mask_numbers
from vbot_train.status.forecast import count_active_workers, count_fitting_trials, forecast_remaining_s
from vbot_train.status.observer import Progress, Stage, Training
from vbot_train.status.states import describe_states
from vbot_train.study.attributes import CAUSE, STATUS
from vbot_train.study.layout import TRIALS
from vbot_train.study.record import StudyRecord
from vbot_train.study.timing import HOUR_S
from vbot_train.study.trials import tell_left_out
from vbot_train.terminal import name_command
from vbot_train.training.result import STATUSES

NO_FAILURES = ("completed", "paused", "pruned")
PLACES = 5  # named trials per cause of failure


def render_status(progress: Progress) -> Group:
    """Render the status of a study: whether it is alive, how far it is, until when it runs, the best, the failures.

    Args:
        progress: The study's progress.
    """
    above = [
        render_progress(progress.search),
        *render_later_stages(progress),
        describe_end(progress),
        *describe_budget(progress),
    ]
    table = [render_trainings(progress)] if progress.running else []
    below = [
        *describe_configurations(progress),
        describe_best(progress),
        *count_ends(progress),
        *render_failures(progress),
    ]
    study = progress.verdict.study
    below += [*describe_states(study.directory, study.paused, name_command("status")), *tell_left_out(study)]
    head = Text(f"study {progress.record.study}: {describe_liveness(progress)}", style="bold")
    return Group(head, *map(Text, above), *table, *map(Text, below))


def describe_liveness(progress: Progress) -> str:
    """Describe whether the study's processes are alive."""
    if progress.is_over:
        return "all trials have ended"
    if progress.is_alive:
        return f"running, {count_active_workers(progress)} at a time"
    if progress.running:
        silent_s = min(training.silent_s for training in progress.running)
        return (
            f"silent for {format_duration(silent_s)}; if its search was killed, the same command line goes on with it"
        )
    return "no trial runs" + ("" if progress.idle_s is None else f", for {format_duration(progress.idle_s)}")


def render_progress(stage: Stage) -> str:
    """Render how many of a stage's trials have ended, are paused and are running."""
    silent = f", {len(stage.silent)} silent" if stage.silent else ""
    paused = len(stage.counts.paused)
    held = f", {paused} paused" if paused else ""
    ended = f"{stage.counts.ended} of {stage.total} have ended{held}"
    return f"{stage.name:<9} {ended}, {len(stage.alive)} running{silent}"


def render_later_stages(progress: Progress) -> Iterator[str]:
    """Yield one line per later stage: its progress and its ranking of the configurations so far."""
    for stage in progress.stages[1:]:
        yield "; ".join([render_progress(stage), *render_leaders(stage, progress.verdict)])


def render_leaders(stage: Stage, verdict: Verdict) -> list[str]:
    """List the configurations that a later stage has trained, best first, with interquartile means over their seeds."""
    metric, found = verdict.metric, verdict.confirmed if stage.name == "confirm" else verdict.tested
    best_first = sorted(found.items(), key=lambda item: rank_key(item[1].runs.values(), metric))
    return [
        f"{describe_origin(number)} {format_cell(again.mean(metric))} ({describe_seeds(again.runs.values(), metric)})"
        for number, again in best_first
    ]


def describe_end(progress: Progress) -> str:
    """Describe when all stages will have ended or the budget will be spent."""
    needed_s, left_s = forecast_remaining_s(progress), progress.left_s
    if progress.is_over:
        return "ETA       done"
    if needed_s is None:
        return "ETA       not known before a trial has trained for a while"
    if not progress.is_alive:
        return (
            f"ETA       about {format_duration(needed_s)} once it goes on, {count_active_workers(progress)} at a time"
        )
    end_s = needed_s if left_s is None else min(needed_s, left_s)
    now, end = progress.now.astimezone(), (progress.now + timedelta(seconds=end_s)).astimezone()  # local time
    day = "" if end.date() == now.date() else f"{end:%d %b} "
    return f"ETA       about {format_duration(end_s)}, at {day}{end:%H:%M}" + (
        ", as the budget ends" if end_s < needed_s else ""
    )


def describe_budget(progress: Progress) -> Iterator[str]:
    """Yield a line with the remaining budget, and the number of trials that fit into it if not all do."""
    if progress.left_s is not None:
        fit, hours = count_fitting_trials(progress), progress.record.budget_hours
        fitting = "" if fit is None else f"; {fit} of {progress.search.total} trials will fit"
        yield f"budget    {progress.left_s / HOUR_S:.1f} h of {hours:g} h left{fitting}"


def render_trainings(progress: Progress) -> Table:
    """Render the table of running trials."""
    metric = progress.record.metric
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("", "env steps", "", "per s", metric, "success"):
        table.add_column(heading, justify="right", no_wrap=heading != metric, overflow="fold")
    table.add_column("time", no_wrap=True)
    for stage in progress.stages:
        for training in stage.running:
            table.add_row(format_label(stage, training), *map(Text, format_cells(training)))
    return table


def describe_configurations(progress: Progress) -> Iterator[str]:
    """Yield a line with the configuration of each running trial."""
    for stage in progress.stages:
        for training in stage.running:
            yield f"{format_label(stage, training):<9} {describe_configuration(training.params, progress.record)}"


def format_label(stage: Stage, training: Training) -> str:
    """Return the displayed name of a running trial: its stage, and its number in that stage."""
    return f"{'trial' if stage.name == TRIALS else stage.name} {training.number}"


def format_cells(training: Training) -> list[str]:
    """Return a running trial's table cells: progress, speed, last held-out evaluation, and running or silent time."""
    speed, success = training.env_steps_per_s, training.success_rate
    return [
        f"{training.env_steps:,} / {training.total_env_steps:,}",
        f"{training.share:.0%}",
        "-" if speed is None else f"{speed:,.0f}",
        format_cell(training.value),
        "-" if success is None else f"{success:.1%}",
        f"silent for {format_duration(training.silent_s)}" if training.is_silent else format_duration(training.age_s),
    ]


def describe_configuration(params: Mapping[str, Any], record: StudyRecord) -> str:
    """Describe how a configuration differs from the default; in a later stage, which trial it trains again."""
    if TRIAL in params:
        return f"{describe_origin(params[TRIAL])} again"
    return (
        format_params({key: value for key, value in params.items() if value != find_default(key, record)}) or "default"
    )


def describe_origin(number: int) -> str:
    """Name the configuration that a later stage trains again."""
    return "default" if number == DEFAULT else f"trial {number}"


def find_default(key: str, record: StudyRecord) -> Any:
    """Return the default configuration's setting of a parameter: a group's option, or a value of the config."""
    if key in record.groups:
        return record.groups[key]
    try:
        return look_up(record.config, key)
    except KeyError:
        return None


def describe_best(progress: Progress) -> str:
    """Describe the best configuration: the winner once it is confirmed, before that the best of the search."""
    verdict, metric = progress.verdict, progress.record.metric
    if (found := verdict.winner) is None:
        return "best      none yet"
    if verdict.unconfirmed_reason is None:
        what = f"{format_value(verdict.confirmed[found.number], metric)}, confirmed"
    else:
        over = f" on {describe_seeds(found.runs, metric)}" if len(found.runs) > 1 else ""
        success = found.mean("success_rate")
        what = f"{metric} {format_cell(found.mean(metric))}{over}" + (
            "" if success is None else f", success {success:.1%}"
        )
        what += " in the search" if len(progress.stages) > 1 else ""
    return f"best      trial {found.number}: {what}  {describe_configuration(found.params, progress.record)}"


def count_ends(progress: Progress) -> Iterator[str]:
    """Yield a line with the number of ended trials by status, including retried ones."""
    study = progress.verdict.study
    counts = Counter(study.counts) + Counter(trial.result.status for trial in (*study.confirm, *study.test))
    ends = [status for status in STATUSES if counts[status] and status != "interrupted"]  # that one will go on
    if texts := [f"{counts[status]} {status}" for status in ends]:
        yield f"ended     {', '.join(texts)}"


def render_failures(progress: Progress) -> Iterator[str]:
    """Yield the causes of bad ends, the most frequent first; causes that differ only in numbers are merged."""
    groups: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for stage in progress.stages:
        for trial in stage.trials:
            status, cause = trial.user_attrs.get(STATUS), trial.user_attrs.get(CAUSE) or "no cause"
            if status is not None and status not in NO_FAILURES:
                where = f"{stage.name}/{trial.number:03d}"
                groups.setdefault((status, mask_numbers(cause)), []).append((cause, where))
    for (status, alike), found in sorted(groups.items(), key=lambda group: -len(group[1])):
        causes, places = {cause for cause, _ in found}, [where for _, where in found]
        text = alike if len(causes) == 1 else f"such as {found[0][0]}"
        text = causes.pop() if len(causes) == 1 else text
        more = f" and {len(places) - PLACES} more" if len(places) > PLACES else ""
        yield f"  {len(found)} {status}: {text} ({', '.join(places[:PLACES])}{more})"


def format_duration(seconds: float) -> str:
    """Format a duration in s, min or h."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 100 * 60 else f"{seconds / HOUR_S:.1f} h"
