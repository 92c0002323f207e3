"""How good a search method is on a landscape that is known, and whether it ever launches what the rules forbid.

python benchmarks/search.py

40 trials, 40 repetitions with paired seeds. The value of a configuration is known without noise; a search sees it with
noise, picks the best it saw, and its regret is what that pick lacks to the best feasible configuration. The default
configuration is not enqueued: how near it lies to the optimum of a made-up landscape says nothing.

The stock sweeper is what hydra-optuna-sweeper does without a chosen method: univariate TPE, infeasible proposals are
launched and told as failed.
"""

import argparse
import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import optuna
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf
from optuna.trial import TrialState

from vbot_train.config.composition import CONF_DIR
from vbot_train.search.space.constraints import compile_rules, find_broken_rules
from vbot_train.search.space.proposals import GridProposals, Proposals, SampledProposals, survey_space
from vbot_train.search.space.samplers import build_sampler
from vbot_train.search.space.space import Candidate, Space, split_overrides
from vbot_train.study.accounting import TrialCounts
from vbot_train.study.attributes import STATUS
from vbot_train.study.storage import quiet_optuna

TRIALS = 40
NETWORKS = ("small", "medium", "large", "deep")
EPOCHS = (2, 4, 5, 6, 8, 10)
CLIPS = (0.1, 0.15, 0.2, 0.3)
NOISE = 2.0
SPACE = {
    "ppo.learning_rate": "tag(log, interval(1e-5, 1e-2))",
    "ppo.entropy_loss_scale": "tag(log, interval(1e-4, 1e-1))",
    "network": "choice(small, medium, large, deep)",
    "ppo.learning_epochs": "choice(2, 4, 5, 6, 8, 10)",
    "ppo.ratio_clip": "choice(0.1, 0.15, 0.2, 0.3)",
}
# A grid that 40 trials can go through, by decades, as one writes it down: 4 x 2 x 4 cells.
GRID = SPACE | {
    "ppo.learning_rate": "choice(1e-5, 1e-4, 1e-3, 1e-2)",
    "ppo.entropy_loss_scale": "choice(1e-3, 1e-2)",
    "ppo.learning_epochs": "choice(5)",
    "ppo.ratio_clip": "choice(0.2)",
}
RULES = compile_rules(
    {
        "unstable": "ppo.learning_rate > 3e-4 and ppo.learning_epochs > 5",
        "no_learning": "ppo.entropy_loss_scale > 0.02 and ppo.ratio_clip < 0.2",
    }
)


def value(params: Mapping[str, Any]) -> float:
    """The value of a configuration, without noise."""
    rate, entropy = math.log10(params["ppo.learning_rate"]), math.log10(params["ppo.entropy_loss_scale"])
    peak = 40 * math.exp(-(((rate + 3.5) / 0.6) ** 2)) * (1 - 0.15 * ((entropy + 3) / 1.5) ** 2)
    return peak + (0, 2, 3, 1)[NETWORKS.index(params["network"])]


def is_infeasible(params: Mapping[str, Any]) -> bool:
    """What the rules forbid, written down a second time."""
    return (params["ppo.learning_rate"] > 3e-4 and params["ppo.learning_epochs"] > 5) or (
        params["ppo.entropy_loss_scale"] > 0.02 and params["ppo.ratio_clip"] < 0.2
    )


def best_value() -> float:
    """The best feasible value: at its peak the learning rate wants at most 5 epochs, which some choices grant."""
    rates, entropies = np.logspace(-5, -2, 3001), np.logspace(-4, -1, 301)
    points = itertools.product(rates, entropies, ("large",), (5,), (0.2,))
    return max(value(dict(zip(SPACE, point, strict=True))) for point in points)


@dataclass
class Outcome:
    """What one search came to."""

    pick: float = -math.inf  # value without noise of the best that it saw
    seen: float = -math.inf
    infeasible: int = 0  # launched against a rule
    values: list[float] = field(default_factory=list)

    def launch(self, params: Mapping[str, Any], noise: np.random.Generator) -> float | None:
        """Try a configuration. Returns what is seen of it, None if it fails."""
        if is_infeasible(params):
            self.infeasible += 1
            return None
        seen = value(params) + NOISE * noise.standard_normal()
        if seen > self.seen:
            self.pick, self.seen = value(params), seen
        return seen


def ours(method: str, seed: int, space: Space) -> Outcome:
    """A search as ``python -m vbot_train -m method=...`` draws it."""
    study = optuna.create_study(direction="maximize")
    outcome, noise = Outcome(), np.random.default_rng([seed, 1])
    proposals = make_proposals(method, seed, space)
    for _ in range(TRIALS):
        counts = TrialCounts(study.get_trials(deepcopy=False), retries=0)
        params = proposals.draw(counts.trials, counts.taken, counts.proposals)
        if params is None:
            break
        study.enqueue_trial(params, user_attrs={STATUS: "completed"})
        trial = study.ask(space.distributions)
        study.tell(trial, outcome.launch(trial.params, noise), state=TrialState.COMPLETE)
    return outcome


def make_proposals(method: str, seed: int, space: Space) -> Proposals:
    """The proposals of a method, seeded."""
    if method == "grid":
        return GridProposals(survey_space(space, rules_broken_by, grid=True, seed=seed).feasible)
    sampler = sampler_config(method)
    return SampledProposals(
        space,
        rules_broken_by,
        lambda own_seed: build_sampler(sampler, own_seed),
        seed=seed,
        direction=optuna.study.StudyDirection.MAXIMIZE,
        repeats=True,
    )


def rules_broken_by(candidate: Candidate) -> list[str]:
    """The rules that a candidate breaks."""
    return find_broken_rules(RULES, candidate.config, candidate.choices)


def sampler_config(method: str) -> Any:
    """The sampler's config, as ``conf/method/`` has it."""
    with initialize_config_dir(str(CONF_DIR)):
        node = compose("config", overrides=[f"method={method}"], return_hydra_config=True)
        return OmegaConf.create({**node.hydra.sweeper.sampler, "seed": 0})


def stock(seed: int) -> Outcome:
    """A search as the stock sweeper runs it by default."""
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed, multivariate=False))
    outcome, noise = Outcome(), np.random.default_rng([seed, 1])
    distributions = split_overrides(SPACE, [])[0]
    for _ in range(TRIALS):
        trial = study.ask(distributions)
        seen = outcome.launch(trial.params, noise)
        study.tell(trial, seen, state=TrialState.FAIL if seen is None else TrialState.COMPLETE)
    return outcome


def make_space(params: Mapping[str, str]) -> Space:
    """A Space as a search builds it."""
    with initialize_config_dir(str(CONF_DIR)):
        config = compose("config", return_hydra_config=True)
        loader = GlobalHydra.instance().config_loader()
        return Space(*split_overrides(params, []), config, loader)


def bootstrap(values: np.ndarray, statistic: Callable[..., Any]) -> tuple[float, float]:
    """95 % bootstrap interval of a statistic over repetitions."""
    picks = np.random.default_rng(0).integers(len(values), size=(10_000, len(values)))
    low, high = np.quantile(statistic(values[picks], axis=1), [0.025, 0.975])
    return float(low), float(high)


def main() -> None:
    """Print median regrets with intervals, and how Bayesian search compares in pairs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=40)
    parser.add_argument("--first-seed", type=int, default=1000, help="the method was chosen on seeds 0 to 159")
    parser.add_argument("--methods", nargs="+", default=["grid", "random", "bayesian"])
    arguments = parser.parse_args()
    quiet_optuna()
    best, seeds = best_value(), range(arguments.first_seed, arguments.first_seed + arguments.repeats)
    spaces = {method: make_space(GRID if method == "grid" else SPACE) for method in arguments.methods}
    outcomes = {method: [ours(method, seed, spaces[method]) for seed in seeds] for method in arguments.methods}
    outcomes["stock"] = [stock(seed) for seed in seeds]
    regrets = {name: np.array([best - outcome.pick for outcome in found]) for name, found in outcomes.items()}
    print(f"best feasible value {best:.2f}; {TRIALS} trials, {arguments.repeats} repetitions")
    for name, regret in regrets.items():
        low, high = bootstrap(regret, np.median)
        launched = sum(outcome.infeasible for outcome in outcomes[name])
        median = f"median regret {np.median(regret):5.2f} [{low:5.2f}, {high:5.2f}]"
        print(f"{name:<9} {median}  infeasible launches {launched}")
    for other in (name for name in regrets if name not in ("bayesian", "grid") and "bayesian" in regrets):
        difference = regrets[other] - regrets["bayesian"]
        low, high = bootstrap(difference, np.mean)
        print(f"{other} - bayesian: mean {difference.mean():.2f} [{low:.2f}, {high:.2f}], paired")


if __name__ == "__main__":
    main()
