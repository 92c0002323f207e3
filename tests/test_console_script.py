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


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "automl"])
def test_a_command_shows_its_usage_as_it_was_typed(tmp_path, name):
    assert call(tmp_path, name, "--help").stdout.startswith(f"usage: vbot-train {name} ")
    line = [sys.executable, "-m", f"vbot_train.{name}", "--help"]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith(f"usage: python -m vbot_train.{name} ")


def test_automl_shows_lines_to_type_its_pipelines_and_its_keys(tmp_path):
    shown = call(tmp_path, "automl", "--help").stdout
    assert shown.startswith("Hours in, a tested policy out")
    assert "pipeline: full, hp, reward, rings, stage" in shown and "budget_hours: 12" in shown


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (["mode=all"], "mode=all: choose one of full, hp, reward, rings, stage"),
        (["mode=hp", "pipeline=hp"], "mode=hp: pipeline= is given too, and is the same"),
        (["-m"], "-m: automl runs one chain; its stages are searches of their own"),
        (["budget_hours=0"], "budget_hours=0: must be more than 0"),
        (
            ["ppo.rollouts=choice(16,24)"],
            "ppo.rollouts=choice(16,24): give one value; ranges belong to an option of search/",
        ),
        (["hydra.run.dir=x"], "hydra.run.dir=x: the lines of a chain set their own folders"),
        (["name=a b"], "name=a b: letters, digits"),
        (["search=quick"], "search=quick: each stage has its own; pipeline= names a chain of searches"),
    ],
)
def test_automl_refuses_in_a_line(tmp_path, typed, message):
    done = call(tmp_path, "automl", *typed)
    assert done.returncode == 1 and done.stderr.startswith(message), done.stderr


def test_a_dry_run_of_automl_shows_each_line_and_trains_nothing(tmp_path):
    own = tmp_path / "own" / "pipeline" / "mine.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("defaults:\n  - stages: [reward, final]\n", encoding="utf-8")
    typed = ["--config-dir", "own", "mode=mine", "search.dry_run=true", "name=n", "reward_generations=2"]
    done = call(tmp_path, "automl", *typed)
    assert done.returncode == 0, done.stderr
    assert (
        [line for line in done.stdout.splitlines() if line.startswith("step ")]
        == [
            "step 1 of 3, 1-reward-1",
            "step 2 of 3, 2-reward-2",
            "step 3 of 3, 3-final",
        ]
        and "study=n-2-reward-2" in done.stdout
        and "dry_run" not in done.stdout
    )
    assert not (tmp_path / "multirun").exists()


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
