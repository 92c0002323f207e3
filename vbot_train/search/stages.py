"""Plan of the stages after a search: confirm its finalists, then test the winner and the default configuration."""

from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from typing import Any

from vbot_train.config.composition import ConfigError
from vbot_train.config.schema import Evaluation, Search

FIRST_SEED = {"confirm": 1001, "test": 2001}  # if a number of seeds is given, not a list


@dataclass(frozen=True, slots=True)
class Plan:
    """Trainings planned after the search."""

    confirm: dict[str, Any] | None  # top_k, seeds; None: no confirmation, and no test either
    test: dict[str, Any] | None  # seeds, evaluation_seed

    @property
    def trainings(self) -> int:
        """Maximum number of trainings."""
        confirm = 0 if self.confirm is None else self.confirm["top_k"] * len(self.confirm["seeds"])
        return confirm + (0 if self.test is None else 2 * len(self.test["seeds"]))

    @property
    def confirm_seeds(self) -> list[int]:
        """Training seeds of the confirmation."""
        return [] if self.confirm is None else self.confirm["seeds"]

    @property
    def seeds(self) -> list[int]:
        """Training seeds that the search itself must not use."""
        return [seed for stage in (self.confirm, self.test) if stage is not None for seed in stage["seeds"]]

    def limit_to(self, configurations: int) -> "Plan":
        """Return the plan for at most so many configurations; with a single one there is nothing to choose."""
        if self.confirm is None or configurations < 2:
            return NO_STAGES
        return replace(self, confirm=self.confirm | {"top_k": min(self.confirm["top_k"], configurations)})

    def get_stage(self, stage: str) -> dict[str, Any] | None:
        """Return the settings of a stage, None if it is off."""
        return self.confirm if stage == "confirm" else self.test

    def get_evaluation_seed(self, stage: str, evaluation: Evaluation) -> int:
        """Return the seed of the held-out start states that a stage reports on: the search's, or the test's."""
        is_same = stage == "confirm" or self.test is None
        return evaluation.seed if is_same or self.test is None else int(self.test["evaluation_seed"])

    def __str__(self) -> str:
        if self.confirm is None:
            return "nothing is confirmed or tested after it"
        seeds = ", ".join(map(str, self.confirm["seeds"]))
        text = f"then the best {self.confirm['top_k']} are trained again on seeds {seeds}"
        if self.test is not None:
            text += f", the winner and the default on {', '.join(map(str, self.test['seeds']))}"
        return f"{text}: up to {self.trainings} trainings in all"


NO_STAGES = Plan(None, None)


def plan_stages(settings: Search) -> Plan:
    """Read ``search.confirm`` and ``search.test``."""
    confirm, test = settings.confirm, settings.test
    if confirm is None or confirm.top_k == 0:
        return NO_STAGES
    found = {"top_k": confirm.top_k, "seeds": list_stage_seeds("confirm", confirm.seeds)}
    if test is None:
        return Plan(found, None)
    return Plan(found, {"seeds": list_stage_seeds("test", test.seeds), "evaluation_seed": test.evaluation_seed})


def list_stage_seeds(stage: str, seeds: int | Sequence[int]) -> list[int]:
    """List the training seeds of a stage."""
    return [FIRST_SEED[stage] + k for k in range(seeds)] if isinstance(seeds, int) else list(seeds)


def check_disjoint(plan: Plan, screened: Container[int], evaluation: Evaluation) -> None:
    """Check that no seed of a stage is used elsewhere.

    Args:
        plan: The planned stages.
        screened: Training seeds that the search uses.
        evaluation: Seeds of the held-out start states that training and search use.

    Raises:
        ConfigError: A seed is used twice; the message names the first.
    """
    taken = {seed: f"evaluation.{key}" for key, seed in evaluation}
    uses = [("search.confirm.seeds", seed) for seed in (plan.confirm or {}).get("seeds", [])]
    if plan.test is not None:
        uses += [("search.test.seeds", seed) for seed in plan.test["seeds"]]
        uses.append(("search.test.evaluation_seed", plan.test["evaluation_seed"]))
    for key, seed in uses:
        if user := "the search" if seed in screened else taken.get(seed):
            raise ConfigError(f"{key}: {seed} is a seed of {user} too; give another, so that the test is fair")
        taken[seed] = key
