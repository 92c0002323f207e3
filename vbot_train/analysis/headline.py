"""A study's answer in a few sentences, the tested values first: no choice was made on them."""

from collections.abc import Iterator

from vbot_train.analysis.ranking import Configuration, cell, config_id
from vbot_train.analysis.stages import Retrained, Verdict
from vbot_train.result import METRICS
from vbot_train.statistics import difference_interval, probability_of_improvement


def headline(verdict: Verdict) -> Iterator[str]:
    """The winner, what it is worth, against the default, and how far that can be believed."""
    if (winner := verdict.winner) is None:
        yield "no trial was completed: there is nothing to rank"
        return
    name = config_id(winner.number)
    tested = verdict.tested.get(winner.number)
    if verdict.doubt is not None:
        seeds = "one seed" if len(winner.seeds) == 1 else f"{len(winner.seeds)} seeds"
        yield f"best so far: {name}, unconfirmed ({verdict.doubt})"
        yield f"the search saw {seen(winner, verdict)} on {seeds}; the best of many is partly the luckiest: expect less"
    elif tested is None:
        yield f"winner: {name}, confirmed: {value(verdict.confirmed[winner.number], verdict.metric)}; not tested yet"
        yield f"the search saw {seen(winner, verdict)}; the confirmed value made it the winner: expect a little less"
    else:
        yield f"winner: {name}, tested on training seeds and starts of its own: {value(tested, verdict.metric)}"
        yield from against_default(winner, tested, verdict)
        confirmed = value(verdict.confirmed[winner.number], verdict.metric)
        yield f"before that, confirming said {confirmed}, and the search saw {seen(winner, verdict)}"


def against_default(winner: Configuration, tested: Retrained, verdict: Verdict) -> Iterator[str]:
    """The winner's test beside the default configuration's."""
    if winner.number == verdict.default:
        yield "the winner is the default configuration itself"
        return
    default = verdict.tested.get(verdict.default)
    ours, theirs = tested.values(verdict.metric), [] if default is None else default.values(verdict.metric)
    if default is None or not ours or not theirs:
        return
    yield f"the default, tested alike: {value(default, verdict.metric)}"
    probability = probability_of_improvement(ours, theirs, maximize=METRICS[verdict.metric] == "maximize")
    ends = difference_interval(ours, theirs)
    by = "" if ends is None else f"; difference 95 % [{ends[0]:+.4g}, {ends[1]:+.4g}]"
    yield f"one run of the winner beats one of the default with probability {probability:.2f}{by}"


def value(found: Retrained, metric: str) -> str:
    """A configuration's value over its seeds, with interval, success and falls, for people."""
    content = found.describe(metric)
    seeds = f"{len(found.runs)} seeds"
    broken = content.get("without_value")
    text = f"{metric} {spread(content.get(metric))} over {seeds}" if metric in content else f"no value on {seeds}"
    others = (("success_rate", "success"), ("fall_rate", "falls"))
    text += "".join(f", {name} {content[key]['iqm']:.1%}" for key, name in others if key in content and key != metric)
    return text + (f" ({', '.join(f'seed {seed} {status}' for seed, status in broken.items())})" if broken else "")


def spread(content: dict[str, object] | None) -> str:
    """An interquartile mean and its interval, for people."""
    if content is None:
        return "-"
    ends = content["ci_95"]
    bounds = f" [{cell(ends[0])}, {cell(ends[1])}]" if isinstance(ends, list) else ""
    return f"{cell(content['iqm'])}{bounds}"


def seen(found: Configuration, verdict: Verdict) -> str:
    """What the search saw of a configuration."""
    return f"{verdict.metric} {cell(found.mean(verdict.metric))}"
