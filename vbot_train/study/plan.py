"""Stages planned after a search: confirm its best configurations, then test the winner and the default."""

from dataclasses import dataclass

from vbot_train.study.recorded_settings import Recorded


class Confirm(Recorded):
    """The stage that trains the best configurations again."""

    top_k: int
    seeds: list[int]

    @property
    def trainings(self) -> int:
        """Number of trainings."""
        return self.top_k * len(self.seeds)


class Test(Recorded):
    """The stage that trains the winner and the default."""

    seeds: list[int]
    evaluation_seed: int

    @property
    def trainings(self) -> int:
        """Maximum number of trainings: the default may be the winner."""
        return 2 * len(self.seeds)


@dataclass(frozen=True, slots=True)
class Plan:
    """Trainings planned after the search."""

    confirm: Confirm | None  # None: no confirmation, and no test either
    test: Test | None

    @property
    def stages(self) -> list[Confirm | Test]:
        """The stages that are on."""
        return [stage for stage in (self.confirm, self.test) if stage is not None]

    @property
    def trainings(self) -> int:
        """Maximum number of trainings."""
        return sum(stage.trainings for stage in self.stages)

    @property
    def seeds(self) -> list[int]:
        """Training seeds that the search itself must not use."""
        return [seed for stage in self.stages for seed in stage.seeds]

    def get_stage(self, name: str) -> Confirm | Test | None:
        """Return a stage, None if it is off."""
        return self.confirm if name == "confirm" else self.test

    def limit_to(self, configurations: int) -> "Plan":
        """Return the plan for at most so many configurations; with a single one there is nothing to choose."""
        if self.confirm is None or configurations < 2:
            return NO_STAGES
        return Plan(Confirm(top_k=min(self.confirm.top_k, configurations), seeds=self.confirm.seeds), self.test)

    def __str__(self) -> str:
        if self.confirm is None:
            return "nothing is confirmed or tested after it"
        seeds = ", ".join(map(str, self.confirm.seeds))
        text = f"then the best {self.confirm.top_k} are trained again on seeds {seeds}"
        if self.test is not None:
            text += f", the winner and the default on {', '.join(map(str, self.test.seeds))}"
        return f"{text}: up to {self.trainings} trainings in all"


NO_STAGES = Plan(None, None)
