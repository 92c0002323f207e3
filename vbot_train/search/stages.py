"""The stages after a search, from its config: their training seeds, which must not be used elsewhere."""

from collections.abc import Container, Sequence

from vbot_train.config.composition import ConfigError
from vbot_train.config.schema import Evaluation, Search
from vbot_train.study.plan import NO_STAGES, Confirm, Plan, Test

FIRST_SEED = {"confirm": 1001, "test": 2001}  # if a number of seeds is given, not a list


def plan_stages(settings: Search) -> Plan:
    """Read ``search.confirm`` and ``search.test``."""
    confirm, test = settings.confirm, settings.test
    if confirm is None or confirm.top_k == 0:
        return NO_STAGES
    found = Confirm(top_k=confirm.top_k, seeds=list_stage_seeds("confirm", confirm.seeds))
    if test is None:
        return Plan(found, None)
    return Plan(found, Test(seeds=list_stage_seeds("test", test.seeds), evaluation_seed=test.evaluation_seed))


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
    uses = [("search.confirm.seeds", seed) for seed in (plan.confirm.seeds if plan.confirm else ())]
    if plan.test is not None:
        uses += [("search.test.seeds", seed) for seed in plan.test.seeds]
        uses.append(("search.test.evaluation_seed", plan.test.evaluation_seed))
    for key, seed in uses:
        if user := "the search" if seed in screened else taken.get(seed):
            raise ConfigError(f"{key}: {seed} is a seed of {user} too; give another, so that the test is fair")
        taken[seed] = key
