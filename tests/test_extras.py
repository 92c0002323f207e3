"""A message about a missing extra names the packages to install, as far as pip understands them."""

import shlex
import tomllib

import pytest
from packaging.requirements import Requirement

from vbot_train.config.composition import ROOT
from vbot_train.extras import explain_missing_launcher, format_install

EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]


@pytest.mark.parametrize("extra", sorted(EXTRAS.keys() - {"dev"}))
def test_the_command_installs_what_the_extra_requires(extra):
    pip, install, *packages = shlex.split(format_install(extra))
    assert (pip, install) == ("pip", "install")
    assert set(map(Requirement, packages)) == set(map(Requirement, EXTRAS[extra]))


def test_a_launcher_that_is_not_installed_is_refused_with_its_extra(monkeypatch):
    assert explain_missing_launcher("hydra/launcher=joblib") is None
    monkeypatch.setattr("vbot_train.extras.find_spec", lambda name: None)
    assert explain_missing_launcher("hydra/launcher=basic") is None
    line = explain_missing_launcher("hydra/launcher=joblib")
    assert line.startswith("hydra/launcher=joblib: needs the extra `joblib`: pip install 'hydra-joblib-launcher")
