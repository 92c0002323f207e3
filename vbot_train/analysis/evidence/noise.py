"""Noise of one configuration over training seeds, and tests whether configurations differ by more."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from vbot_train.analysis.evidence.trends import test_improvement
from vbot_train.analysis.ranking import Configuration
from vbot_train.analysis.verdict import Verdict
from vbot_train.study.trials import Study
from vbot_train.training.metrics import METRICS

READ = 50  # trials with several seeds whose files are read; more would hardly improve the estimate
ALPHA = 0.02  # false positive rate: equal configurations that seem to differ
NOTABLE = 2.0  # spread between configurations to detect, in standard deviations of the noise
POWER = 0.9
BAYESIAN = ("TPESampler", "GPSampler")
ALPHA_UNSTABLE = 0.005
MATTERS = 0.5  # relevant scatter over seeds, in standard deviations between configurations


@dataclass(frozen=True, slots=True)
class Scatter:
    """Pooled variance within groups and its degrees of freedom."""

    variance: float
    freedom: int

    @property
    def deviation(self) -> float:
        """Standard deviation."""
        return float(np.sqrt(self.variance))


@dataclass(frozen=True, slots=True)
class Contrast:
    """Spread between configurations compared with the noise of one configuration."""

    between: float  # standard deviation of the configurations' values
    noise: float  # standard deviation over the seeds of one configuration
    freedom: int  # degrees of freedom of the noise
    ratio: float  # F statistic of the two variances; about 1 if configurations do not differ
    p: float  # p-value of ratio
    lead: float | None  # of the finalists, on fresh seeds, over the average configuration; None if not confirmed
    p_lead: float  # p-value of lead; 1 if not confirmed
    p_time: float  # p-value of the improvement over time; 1 for a sampler that does not learn
    power: float  # probability that the F test detects a spread of NOTABLE

    @property
    def differ(self) -> bool:
        """Whether the configurations differ significantly."""
        return min(self.p, self.p_lead, self.p_time) <= ALPHA

    @property
    def alike(self) -> bool:
        """Whether no difference was found although the power to detect a relevant one is high."""
        return not self.differ and self.power >= POWER


def is_learning_search(study: Study) -> bool:
    """Check whether the sampler learns from earlier trials."""
    return study.record.sampler_settings.target.endswith(BAYESIAN)


def pool_variance(groups: Sequence[Sequence[float]]) -> Scatter | None:
    """Pool the variance within groups, one per configuration; None if no group has two values."""
    several = [np.asarray(group, dtype=float) for group in groups if len(group) > 1]
    freedom = sum(len(group) - 1 for group in several)
    if freedom == 0:
        return None
    return Scatter(float(sum(((group - group.mean()) ** 2).sum() for group in several)) / freedom, freedom)


def measure_noise(verdict: Verdict, without: Collection[int] = ()) -> Scatter | None:
    """Return the scatter over the seeds of one configuration, pooled; None if none was trained on two seeds.

    Args:
        verdict: Verdict on the study.
        without: Numbers of configurations to exclude.
    """
    return pool_variance(_list_replicates(verdict, without))


def compare_with_noise(verdict: Verdict, without: Collection[int] = ()) -> Contrast | None:
    """Compare the spread of configurations with that of seeds by an F test; None if the noise is unknown.

    With few configurations the F test may miss a difference, so two more signs are tested: the best configurations of
    the search exceed the average on fresh seeds too, and a search that learns improves over time.

    Args:
        verdict: Verdict on the study.
        without: Numbers of configurations to exclude, since their scatter differs from that of the others.
    """
    noise = measure_noise(verdict, without)
    found = verdict.screened
    if noise is None or noise.variance == 0 or len(found) < 3:
        return None
    values = np.array([configuration.mean(verdict.metric) for configuration in found], dtype=float)
    seeds = np.array([max(len(configuration.seeds), 1) for configuration in found])
    squares = seeds * (values - np.average(values, weights=seeds)) ** 2
    freedom = len(found) - 1
    ratio = float(squares.sum()) / freedom / noise.variance
    critical = stats.f.isf(ALPHA, freedom, noise.freedom)
    lead, p_lead = _measure_lead(verdict, values, noise, without)
    return Contrast(
        between=float(values.std(ddof=1)),
        noise=noise.deviation,
        freedom=noise.freedom,
        ratio=ratio,
        p=float(stats.f.sf(ratio, freedom, noise.freedom)),
        lead=lead,
        p_lead=p_lead,
        p_time=test_improvement(_list_by_number(verdict)) if is_learning_search(verdict.study) else 1.0,
        power=float(stats.f.sf(critical / (1 + NOTABLE**2 * seeds.mean()), freedom, noise.freedom)),
    )


def _measure_lead(
    verdict: Verdict, screened: NDArray[np.float64], noise: Scatter, without: Collection[int]
) -> tuple[float | None, float]:
    """Return the lead of the finalists, on fresh seeds, over the average configuration, and its one-sided p-value."""
    sign = METRICS[verdict.metric].sign
    found = [again.values(verdict.metric) for number, again in verdict.confirmed.items() if number not in without]
    fresh = [value for values in found for value in values]
    if not fresh:
        return None, 1.0
    lead = sign * (np.mean(fresh) - screened.mean())
    error = np.sqrt(noise.variance / len(fresh) + screened.var(ddof=1) / len(screened))
    return float(lead), float(stats.t.sf(lead / error, noise.freedom))


def _list_by_number(verdict: Verdict) -> NDArray[np.float64]:
    """Return the values of the configurations in the order of their numbers, higher is better."""
    sign = METRICS[verdict.metric].sign
    found = sorted(verdict.screened, key=lambda configuration: configuration.number)
    return np.array([sign * (configuration.mean(verdict.metric) or 0.0) for configuration in found])


def _list_replicates(verdict: Verdict, without: Collection[int]) -> list[list[float]]:
    """Return groups of values of trainings that differ only in their seed."""
    later = (verdict.confirmed, verdict.tested)
    groups = [again.values(verdict.metric) for stage in later for n, again in stage.items() if n not in without]
    trials = [trial for trial in verdict.study.rank(verdict.metric) if len(trial.result.seeds) > 1][:READ]
    several = [[run.get_objective(verdict.metric) for run in trial.runs] for trial in trials]
    groups += [[value for value in values if value is not None] for values in several]
    for found in verdict.screened:
        single = [trial.result.get_objective(verdict.metric) for trial in found.trials if len(trial.result.seeds) < 2]
        groups.append([value for value in single if value is not None])
    return groups


@dataclass(frozen=True, slots=True)
class Unstable:
    """A finalist whose confirmed values are unstable over seeds."""

    found: Configuration
    values: list[float]  # one per seed that has a value
    failed_seeds: dict[int, str]  # seeds that diverged or have no value, and how they ended
    deviation: float  # standard deviation over its seeds
    others: float | None  # pooled standard deviation of the other finalists; None if unknown


def find_unstable(verdict: Verdict) -> list[Unstable]:
    """Return the unstable ones among the winner and the best configuration of the search."""
    numbers = {found.number for found in verdict.finalists}
    best = {found.number: found for found in (*verdict.screened[:1], *verdict.best_first[:1])}
    looked_at = [found for number, found in best.items() if number in numbers & verdict.confirmed.keys()]
    return [judged for found in looked_at if (judged := _judge(verdict, found)) is not None]


def _judge(verdict: Verdict, found: Configuration) -> Unstable | None:
    again = verdict.confirmed[found.number]
    values = again.values(verdict.metric)
    own = pool_variance([values])
    others = pool_variance(
        [one.values(verdict.metric) for number, one in verdict.confirmed.items() if number != found.number]
    )
    ended = {seed: run.status for seed, run in sorted(again.runs.items()) if run.get_objective(verdict.metric) is None}
    lost = {seed: status for seed, status in ended.items() if status in ("diverged", "completed")}
    if not lost and (own is None or others is None or not _is_scattered(verdict, own, others)):
        return None
    return Unstable(found, values, lost, own.deviation if own else 0.0, others.deviation if others else None)


def _is_scattered(verdict: Verdict, own: Scatter, others: Scatter) -> bool:
    """Check whether a scatter is significantly larger than that of others, and large enough to matter."""
    between = np.std([found.mean(verdict.metric) or 0.0 for found in verdict.screened])
    if own.deviation <= MATTERS * between:
        return False
    return bool(stats.f.sf(own.variance / max(others.variance, 1e-12), own.freedom, others.freedom) < ALPHA_UNSTABLE)
