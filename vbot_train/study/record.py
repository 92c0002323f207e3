"""The record of a study: what was asked, and on what code and machine it was begun."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from vbot_train.study.errors import StudyError
from vbot_train.study.layout import STUDY_YAML
from vbot_train.study.storage_url import check_storage, hide_password

RECORD_KEYS = {"study", "metric", "space", "options", "constraints", "config", "storage", "revision"}


def read_record(directory: Path) -> dict[str, Any] | None:
    """What ``study.yaml`` says, None where no study was begun.

    Raises:
        StudyError: It cannot be read.
    """
    path = directory / STUDY_YAML
    if not path.exists():
        return None
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise StudyError(f"study={directory.name}: {path} cannot be read ({str(error).splitlines()[0]})") from error
    if not isinstance(content, dict) or not content.keys() >= RECORD_KEYS:
        raise StudyError(f"study={directory.name}: {path} is not the record of a study, or of another version")
    return content | {"storage": check_storage(content["storage"])}  # earlier versions wrote it down as it was typed


def home_of(record: Mapping[str, Any], storage: str | None) -> str | None:
    """Where a study lives: as its record says, with the password of the command line's storage if that is the same."""
    home: str | None = record["storage"]
    storage = check_storage(storage)  # a reader's, as typed
    return storage if storage is not None and hide_password(storage) == home else home
