"""The console script: a command by its name, and everything else as ``python -m vbot_train``."""

import os
import subprocess
import sys
from importlib.metadata import version

import pytest

from vbot_train.cli import COMMANDS
from vbot_train.config.composition import ROOT

SCRIPT = "import sys; sys.argv[0] = '/bin/vbot-train'; from vbot_train.cli import main; main()"


def call(cwd, *arguments):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    line = [sys.executable, "-c", SCRIPT, *arguments]
    return subprocess.run(line, cwd=cwd, env=environment, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_shows_its_usage_as_it_was_typed(tmp_path, name):
    assert call(tmp_path, name, "--help").stdout.startswith(f"usage: vbot-train {name} ")
    line = [sys.executable, "-m", f"vbot_train.{name}", "--help"]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith(f"usage: python -m vbot_train.{name} ")


def test_a_command_is_refused_as_its_module_is(tmp_path):
    done = call(tmp_path, "status", "nowhere")
    assert done.returncode == 1 and done.stderr.startswith("nowhere: not the directory of a study")


def test_help_names_the_commands(tmp_path):
    done = call(tmp_path, "--help")
    assert f"Other commands: vbot-train {', '.join(COMMANDS)};" in done.stdout and "== Config ==" in done.stdout


def test_without_a_command_it_is_the_main_one(tmp_path):
    done = call(tmp_path, "seed=5", "--cfg", "job", "--package", "evaluation")
    assert done.returncode == 0 and "selection_seed: 1000003" in done.stdout
    refused = call(tmp_path, "-m", "search=quick", "ppo.learning_rate=-1")
    assert (refused.returncode, refused.stderr) == (1, "ppo.learning_rate=-1: must be more than 0\n")


@pytest.mark.parametrize(
    ("name", "hint"), [("statsu", "did you mean status?"), ("train", f"there are {', '.join(COMMANDS)}")]
)
def test_another_word_is_no_command(tmp_path, name, hint):
    done = call(tmp_path, name)
    assert (done.returncode, done.stderr) == (1, f"{name}: no such command; {hint}\n")


def test_the_version_is_ours(tmp_path):
    assert call(tmp_path, "--version").stdout == f"vbot-train {version('vbot-train')}\n"
