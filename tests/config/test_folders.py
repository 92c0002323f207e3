"""A user's folders of options: what Hydra would ignore is refused, and a copy of conf/ is used where it is named."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from vbot_train.config.composition import CONF_DIR, IS_CHECKOUT, ROOT, ConfigError
from vbot_train.config.folders import OwnFolders, apply_folders
from vbot_train.init import copy_conf

OWN = "hidden_layer_sizes: [7]\n"


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write an option file below the current folder."""
    monkeypatch.chdir(tmp_path)

    def to(name, text=OWN):
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    return to


@pytest.fixture
def copied(write):
    """A copy of conf/ in the current folder, with a medium network of its own and another seed."""
    copy_conf(Path("conf"))
    write("conf/network/medium.yaml")
    path = Path("conf/config.yaml")
    path.write_text(path.read_text(encoding="utf-8").replace("seed: 42", "seed: 7"), encoding="utf-8")


def compose(*arguments, cwd="."):
    """Compose in a process of its own, and return the job's config."""
    line = [sys.executable, "-m", "vbot_train", *arguments, "--cfg", "job"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}  # a relative one would be lost
    done = subprocess.run(line, cwd=cwd, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    config = yaml.safe_load(done.stdout)
    return config["network"]["hidden_layer_sizes"], config["seed"]


def test_a_checkout_has_one_conf():
    assert IS_CHECKOUT and CONF_DIR == ROOT / "conf", "vbot_train/conf exists, and hides conf/"


@pytest.mark.parametrize("option", ["ppo/default.yaml", "hydra/sweeper/sampler/tpe_noisy.yaml"])
def test_an_option_with_the_name_of_one_of_ours_is_refused(write, option):
    write(f"own/{option}")
    first = re.escape(f"{Path('own', option)}: would be ignored for {CONF_DIR / option}; rename the file")
    with pytest.raises(ConfigError, match=f"^{first}$"):
        apply_folders(["--config-dir", "own", "seed=1"])


def test_an_option_with_the_name_of_one_in_another_folder_of_the_user_is_refused(write):
    write("a/network/mine.yaml")
    write("b/network/mine.yaml")
    with pytest.raises(ConfigError, match=r"^b.network.mine.yaml: would be ignored for a.network.mine.yaml"):
        apply_folders(["--config-dir=a", "-cd", "b"])


def test_an_option_that_ends_in_yml_is_refused(write):
    write("own/network/mine.yml")
    with pytest.raises(ConfigError, match=r"^own.network.mine.yml: would be ignored; its name must end in .yaml"):
        apply_folders(["--config-dir", "own"])


def test_a_copy_of_conf_is_no_config_dir(copied):
    with pytest.raises(ConfigError, match=r"^--config-dir=conf: is a copy of conf/, .* use --config-path=conf$"):
        apply_folders(["--config-dir", "conf"])


def test_a_folder_without_a_config_group_is_refused(write):
    write("own/network/mine.yaml")
    with pytest.raises(ConfigError, match=r"^--config-dir=own.network: has no folder of a config group: env, "):
        apply_folders(["--config-dir", "own/network"])


def test_only_the_value_of_config_path_is_made_absolute(copied):
    line = ["--config-path", "conf", "--package", "conf", "study=conf"]
    assert apply_folders(line) == ["--config-path", str(Path("conf").absolute()), "--package", "conf", "study=conf"]


def test_what_is_no_run_is_not_repeated(tmp_path):
    with pytest.raises(ConfigError, match=r"^--experimental-rerun=none: not the directory of a run"):
        apply_folders(["--experimental-rerun", "none"])


def test_a_run_with_an_option_of_a_folder_is_repeated_with_that_folder(write):
    write("own/network/mine.yaml")
    source = {"provider": "command-line", "path": str(Path("own").absolute())}
    write("run/.hydra/hydra.yaml", yaml.safe_dump({"hydra": {"runtime": {"config_sources": [source]}}}))
    with pytest.raises(ConfigError, match=r"^--experimental-rerun=run: took options from .*; add --config-dir .*own$"):
        apply_folders(["--experimental-rerun", "run"])
    assert apply_folders(["--experimental-rerun", "run", "--config-dir", "own"])


def test_a_config_path_without_a_config_is_refused(write):
    with pytest.raises(ConfigError, match=r"^--config-path=none: there is no config.yaml in it"):
        apply_folders(["--config-path", "none"])


@pytest.mark.parametrize("arguments", [["seed=1"], ["--config-path", "pkg://theirs", "seed=1"]])
def test_other_arguments_stay(arguments):
    assert apply_folders(arguments) == arguments


def test_the_same_folder_twice_is_once(write):
    write("own/network/mine.yaml")
    apply_folders(["--config-dir", "own", "--config-dir", "own"])
    assert OwnFolders.folders == []


def test_each_config_dir_is_searched(write):
    write("a/network/one.yaml")
    write("b/experiment/two.yaml", "# @package _global_\nseed: 3\n")
    assert compose("--config-dir", "a", "-cd", "b", "network=one", "experiment=two") == ([7], 3)


def test_a_copy_of_conf_is_read_where_it_is_named_relative_to_the_current_folder(copied):
    Path("sub").mkdir()
    assert compose("--config-path", "conf") == ([7], 7)
    assert compose("-cp=../conf", cwd="sub") == ([7], 7)
    assert compose() != ([7], 7), "a folder was found by chance"


@pytest.mark.slow
def test_a_run_from_a_copy_of_conf_is_repeated_from_there(copied, tmp_path):
    line = [sys.executable, "-m", "vbot_train", "--config-path", "conf", "training=smoke", "hydra.run.dir=here"]
    subprocess.run(line, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True, capture_output=True, timeout=100)
    with pytest.raises(
        ConfigError, match="^--experimental-rerun=here: took .*; add --config-path " + re.escape(str(tmp_path / "conf"))
    ):
        apply_folders(["--experimental-rerun", "here"])
    assert compose("--experimental-rerun", "here", "--config-path", "conf") == ([7], 7)
