"""The record of a study: its settings, and the code and machine on which it was created."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import ValidationError

from vbot_train.study.errors import StudyError
from vbot_train.study.layout import STUDY_YAML
from vbot_train.study.plan import Confirm, Plan, Test
from vbot_train.study.recorded_settings import Recorded, RecordedSampler, RecordedSettings
from vbot_train.study.rungs import Rungs, build_rungs
from vbot_train.study.storage_url import check_storage, hide_password
from vbot_train.training.files import write_atomically

STAGES: dict[str, type[Recorded]] = {"confirm": Confirm, "test": Test}
RECORD_KEYS = {"study", "metric", "space", "options", "constraints", "config", "storage", "revision"}


@dataclass(frozen=True, slots=True)
class StudyRecord:
    """Content of ``study.yaml``, in file order. A key that an older version did not write has its default."""

    study: str  # name
    metric: str  # metric that is optimized
    space: dict[str, str] = field(default_factory=dict)  # range of each searched key, as readable text
    fixed: list[str] = field(default_factory=list)  # overrides of keys that are not searched
    options: dict[str, dict[str, Any]] = field(default_factory=dict)  # settings by combination of group options
    constraints: dict[str, str] = field(default_factory=dict)  # constraints by name
    feasible_share: float | None = None  # share of the space that satisfies the constraints
    max_trials: int = 0  # number of configurations at which the search ends
    confirm: Confirm | None = None  # None: off
    test: Test | None = None  # None: off
    default: dict[str, Any] | None = None  # the composed configuration as a point; None: outside the space
    sampler: dict[str, Any] = field(default_factory=dict)  # config of the sampler
    groups: dict[str, str] = field(default_factory=dict)  # chosen option of each config group
    config: dict[str, Any] = field(default_factory=dict)  # composed, in plain containers
    storage: str | None = None  # URL without its password; None: SQLite in the study's directory
    command: list[str] = field(default_factory=list)  # command line that created the study
    time: str | None = None  # time of creation, in ISO format
    revision: str | None = None  # commit of the code
    versions: dict[str, str] = field(default_factory=dict)  # of Python and the packages
    hardware: dict[str, Any] = field(default_factory=dict)
    resumed: list[dict[str, Any]] = field(default_factory=list)  # the five keys above, for each resume
    unknown: dict[str, Any] = field(default_factory=dict)  # additional keys written by a newer version

    @classmethod
    def read(cls, directory: Path) -> Self | None:
        """Read ``study.yaml``; None if it does not exist.

        Raises:
            StudyError: The file cannot be read.
        """
        path = directory / STUDY_YAML
        if not path.exists():
            return None
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, yaml.YAMLError) as error:
            raise StudyError(f"study={directory.name}: {path} cannot be read ({str(error).splitlines()[0]})") from error
        other = StudyError(f"study={directory.name}: {path} is not the record of a study, or of another version")
        if not isinstance(content, dict) or not content.keys() >= RECORD_KEYS:
            raise other
        try:
            record = cls.parse(content)
        except ValidationError as error:
            raise other from error
        return replace(record, storage=check_storage(record.storage))  # earlier versions wrote it as typed

    @classmethod
    def parse(cls, content: Mapping[str, Any]) -> Self:
        """Build the record from a file's content, of any version.

        Raises:
            KeyError: The metric or the study's name is missing.
            ValidationError: The settings of a stage are incomplete.
        """
        given = {key: content[key] for key in ("metric", "study")}
        known = {each.name for each in fields(cls)} - {"unknown"}
        given |= {key: value for key, value in content.items() if key in known and value is not None}
        given |= {name: model.model_validate(given[name]) for name, model in STAGES.items() if name in given}
        return cls(**given, unknown={key: value for key, value in content.items() if key not in known})

    def write(self, directory: Path) -> None:
        """Write ``study.yaml`` atomically."""
        content = {each.name: getattr(self, each.name) for each in fields(self)}
        content |= {stage: content[stage] and content[stage].model_dump() for stage in STAGES}
        content |= content.pop("unknown")
        if not self.resumed:
            del content["resumed"]
        write_atomically(directory / STUDY_YAML, yaml.safe_dump(content, sort_keys=False))

    @property
    def settings(self) -> RecordedSettings:
        """What is read of the config."""
        return RecordedSettings.model_validate(self.config)

    @property
    def sampler_settings(self) -> RecordedSampler:
        """What is read of the config of the sampler."""
        return RecordedSampler.model_validate(self.sampler)

    @property
    def plan(self) -> Plan:
        """The stages after the search."""
        return Plan(self.confirm, self.test)

    @property
    def rungs(self) -> Rungs:
        """The rungs at which trials are paused."""
        return build_rungs(self.settings.scheduler, self.settings.training.evaluations or 1, self.metric)

    @property
    def retries(self) -> int:
        """How often a crashed trial is retried."""
        return self.settings.search.retries

    @property
    def seeds_per_configuration(self) -> int:
        """Number of training seeds, and so of trials, per configuration in the search."""
        return self.settings.search.seeds_per_configuration

    @property
    def budget_hours(self) -> float | None:
        """Wall-clock budget of the study over all resumes [h]; None without a budget."""
        return self.settings.budget_hours

    def find_home(self, storage: str | None) -> str | None:
        """Return the study's storage URL as recorded, with the password of the given storage if the rest is equal."""
        storage = check_storage(storage)  # may be a relative path
        return storage if storage is not None and hide_password(storage) == self.storage else self.storage
