"""Result of a study in a few sentences. Tested values come first: they are unbiased, as no choice used them."""

from collections.abc import Iterator, Mapping
from typing import Any

from vbot_train.analysis.cost import UNKNOWN, CostPoint, compare_costs
from vbot_train.analysis.ranking import (
    Configuration,
    describe_seeds,
    format_cell,
    format_interval,
    name_configuration,
)
from vbot_train.analysis.verdict import Retrained, Verdict
from vbot_train.training.metrics import METRICS
from vbot_train.training.seed_statistics import (
    bootstrap_difference_interval,
    caution_few_seeds,
    estimate_probability_of_improvement,
)


def write_headline(verdict: Verdict) -> Iterator[str]:
    """Describe the winner, its value, its difference from the default, and how reliable these are."""
    if (winner := verdict.winner) is None:
        yield "no trial was completed: there is nothing to rank"
        return
    name, metric = name_configuration(winner.number), verdict.metric
    if len(verdict.screened) == 1:
        yield from describe_replicates(winner, verdict)
        return
    if verdict.unconfirmed_reason is not None:
        yield f"best so far: {name}, unconfirmed ({verdict.unconfirmed_reason})"
        screening = describe_screening(winner, verdict)
        yield f"the search saw {screening}; the best of many is partly the luckiest: expect less"
        return
    confirmed = format_value(verdict.confirmed[winner.number], metric)
    if verdict.untested_reason is not None:
        yield f"winner: {name}, confirmed: {confirmed}; not tested ({verdict.untested_reason})"
        screening = describe_screening(winner, verdict)
        yield f"the search saw {screening}; the confirmed value made it the winner: expect a little less"
    else:
        tested = verdict.tested[winner.number]
        yield f"winner: {name}, tested on training seeds and starts of its own: {format_value(tested, metric)}"
        yield from compare_with_default(winner, tested, verdict)
        yield f"before that, confirming said {confirmed}, and the search saw {describe_screening(winner, verdict)}"
    if (caution := caution_few_seeds(len(verdict.confirmed[winner.number].runs))) is not None:
        yield f"in brackets: the 95 % bootstrap interval over training seeds; {caution}"


def describe_replicates(found: Configuration, verdict: Verdict) -> Iterator[str]:
    """Describe a study of one configuration, where nothing was chosen."""
    values = [value for run in found.survivors if (value := run.get_objective(verdict.metric)) is not None]
    ends = f" [{format_cell(min(values))} to {format_cell(max(values))}]" if len(values) > 1 else ""
    over, mean = describe_seeds(found.runs, verdict.metric), format_cell(found.mean(verdict.metric))
    text = f"one configuration on {over}: {verdict.metric} {mean}{ends}{list_failed_seeds(found.failed_seeds)}"
    yield f"{text}; there was nothing to choose"


def compare_with_default(winner: Configuration, tested: Retrained, verdict: Verdict) -> Iterator[str]:
    """Compare the tested values of winner and default configuration; a failed run counts as the worst."""
    if winner.number == verdict.default:
        yield "the winner is the default configuration itself"
        return
    default, metric = verdict.tested[verdict.default], verdict.metric
    yield f"the default, tested alike: {format_value(default, metric)}"
    ours, theirs = tested.values_or_worst(metric), default.values_or_worst(metric)
    if min(len(ours), len(theirs)) < 2:
        yield "one seed each: that says nothing of other seeds"
        return
    probability = estimate_probability_of_improvement(ours, theirs, maximize=METRICS[metric].is_maximized)
    whole = not tested.failed_seeds(metric) and not default.failed_seeds(metric)
    ends = bootstrap_difference_interval(ours, theirs) if whole else None
    by = "" if ends is None else f"; difference 95 % [{ends[0]:+.4g}, {ends[1]:+.4g}]"
    yield f"one run of the winner beats one of the default with probability {probability:.2f}{by}"


def format_value(found: Retrained, metric: str) -> str:
    """Format a configuration's value over its seeds, with interval, success rate and fall rate."""
    content, lost = found.describe(metric), found.failed_seeds(metric)
    runs, over = len(found.runs), describe_seeds(found.runs.values(), metric)
    text = (
        f"{metric} {format_spread(content[metric])} over {over}" if metric in content else f"no value on {runs} seeds"
    )
    others = (("success_rate", "success"), ("fall_rate", "falls"))
    text += "".join(f", {name} {content[key]['iqm']:.1%}" for key, name in others if key in content and key != metric)
    return text + list_failed_seeds(lost)


def list_failed_seeds(lost: Mapping[int, str]) -> str:
    """Format the failed seeds."""
    return f" ({', '.join(f'seed {seed} {status}' for seed, status in lost.items())})" if lost else ""


def format_spread(content: Mapping[str, Any] | None) -> str:
    """Format an interquartile mean and its interval."""
    return "-" if content is None else f"{format_cell(content['iqm'])}{format_interval(content['ci_95'])}"


def format_spread_over_seeds(found: Retrained, metric: str) -> str:
    """Format an interquartile mean and its interval, with the number of seeds if some failed."""
    over = f" ({describe_seeds(found.runs.values(), metric)})" if found.failed_seeds(metric) else ""
    return format_spread(found.describe(metric).get(metric)) + over


def describe_screening(found: Configuration, verdict: Verdict) -> str:
    """Format the search value of a configuration."""
    seeds = "one seed" if len(found.runs) == 1 else describe_seeds(found.runs, verdict.metric)
    return f"{verdict.metric} {format_cell(found.mean(verdict.metric))} on {seeds}"


def write_cheapest(verdict: Verdict) -> Iterator[str]:
    """Yield a line on the cheapest configuration within ``search.within`` of the best, if there is one to choose."""
    if (costs := compare_costs(verdict)) is None:
        return
    if costs.tolerance is None or (cheapest := costs.cheapest) is None:
        yield f"no cheapest configuration: {UNKNOWN}; give search.within, or --within"
        return
    within = f"{format_cell(costs.tolerance.amount)} ({costs.tolerance.origin})"
    text = f"cheapest within {within} of the best {costs.kind} {verdict.metric}: {_describe_cost(cheapest)}"
    count = len(verdict.study.hosts)
    hosts = f"; trainings ran on {count} hosts, whose wall clocks do not compare" if count > 1 else ""
    best = "it is the best" if cheapest == costs.best else f"the best is {_describe_cost(costs.best)}"
    yield f"{text}; {best}{hosts}"


def _describe_cost(point: CostPoint) -> str:
    seconds = f"{point.wall_s:,.0f}" if point.wall_s >= 10 else f"{point.wall_s:.2g}"
    cost = f"{seconds} s and {point.env_steps:,.0f} env steps a training"
    return f"{point.name} with {format_cell(point.value)}, {cost}"
