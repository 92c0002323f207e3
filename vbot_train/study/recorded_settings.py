"""What is read of a recorded config. It may be of any version of the code: a key that it lacks has a default."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Recorded(BaseModel):
    """A part of a recorded config. Immutable; all other keys are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class RecordedSearch(Recorded):
    """Settings of the search."""

    retries: int = 1
    seeds_per_configuration: int = 1
    seeds_per_trial: int = 1  # in earlier versions, which trained several seeds in one trial
    enqueue: list[Any] = []
    around: str | None = None
    within: float | None = None


class RecordedTraining(Recorded):
    """Length and evaluation of a training; None: not recorded."""

    env_steps: int | None = None
    evaluations: int | None = None
    evaluation_episodes: int | None = None


class RecordedEvaluation(Recorded):
    """Seeds of the held-out start states."""

    seed: int | None = None


class RecordedScheduler(Recorded):
    """The scheduler; without rungs if none was chosen, or the study is older than schedulers."""

    rungs: list[float] = []
    reduction_factor: int = 3


class RecordedSettings(Recorded):
    """The config of a study or of one of its trials."""

    search: RecordedSearch = RecordedSearch()
    training: RecordedTraining = RecordedTraining()
    evaluation: RecordedEvaluation = RecordedEvaluation()
    scheduler: RecordedScheduler = RecordedScheduler()
    budget_hours: float | None = None


class RecordedSampler(Recorded):
    """The config of a sampler."""

    target: str = Field("", alias="_target_")
    n_startup_trials: int = 10  # Optuna's own default
