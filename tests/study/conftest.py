"""What tests of a study's database share."""

import optuna
import pytest

from vbot_train.study.layout import STUDY_DB
from vbot_train.study.storage import connect


@pytest.fixture(scope="session")
def empty_study(tmp_path_factory):
    """The SQLite file of a study named s without trials; to copy, for it takes a second to make."""
    directory = tmp_path_factory.mktemp("template")
    optuna.create_study(study_name="s", storage=connect(None, directory), direction="maximize")
    return directory / STUDY_DB
