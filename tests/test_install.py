"""The wheel, in an environment and a folder that know nothing of the checkout: the lines of the README work there."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml

from vbot_train.config.composition import CONF_DIR, ROOT

pytestmark = pytest.mark.slow

BIN = "Scripts" if sys.platform == "win32" else "bin"
TRIAL = "multirun/s/trials/000"
ONE_THREAD = ("simulation.threads=1", "training.torch_threads=1")


def build(project, out, *targets):
    """Build with the backend itself, as pip does, but in this environment: it needs no network."""
    line = [sys.executable, "-m", "hatchling", "build", *targets, "-d", str(out)]
    subprocess.run(line, cwd=project, check=True, capture_output=True, timeout=120)
    return out


def read_files(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A folder with the wheel and the sdist of the checkout."""
    return build(ROOT, tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def wheel(built):
    return next(built.glob("*.whl"))


@pytest.fixture(scope="module")
def environment(tmp_path_factory, wheel):
    """An environment with the wheel; the dependencies are those of this one, whose editable install it does not see."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True, timeout=60)
    python = folder / BIN / "python"
    line = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", str(wheel)]
    subprocess.run(line, check=True, timeout=120)
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    own = subprocess.check_output([python, "-c", ask], text=True).strip()
    # A path file adds the folder itself, not what the path files in it add.
    Path(own, "dependencies.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def call(environment, tmp_path_factory):
    """Run the console script in an empty folder, the same one for each test."""
    folder = tmp_path_factory.mktemp("empty")
    inherited = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}

    def run(*arguments, program="vbot-train"):
        line = [str(environment / BIN / program), *arguments]
        done = subprocess.run(line, cwd=folder, env=inherited, capture_output=True, text=True, timeout=200)
        assert done.returncode == 0, done.stderr
        return done.stdout

    run.folder = folder
    return run


@pytest.fixture(scope="module")
def study(call):
    """The folder in which a small search has run."""
    line = ("-m", "search=quick", "training=smoke", "search.max_trials=2", "study=s", "workers=2")
    assert "train the best again: " in call(*line)
    return call.folder


def read_metrics(run_dir):
    return yaml.safe_load((run_dir / "result.yaml").read_text(encoding="utf-8"))["metrics"]


def test_the_sdist_builds_the_same_wheel(built, wheel, tmp_path):
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        archive.extractall(tmp_path, filter="data")
    again = build(next(tmp_path.iterdir()), tmp_path / "dist", "-t", "wheel")
    assert read_files(next(again.glob("*.whl"))) == read_files(wheel)


def test_the_wheel_has_every_option_and_every_file_of_the_package(wheel):
    packed = read_files(wheel)
    package = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("vbot_train/**/*.*") if path.suffix != ".pyc"}
    options = {f"vbot_train/{path.relative_to(ROOT).as_posix()}" for path in CONF_DIR.rglob("*.yaml")}
    assert package | options | {"vbot_train/env/assets/vbot.xml"} <= packed.keys()
    assert {name.split("/")[0] for name in packed} == {"vbot_train", f"{wheel.name.rsplit('-', 3)[0]}.dist-info"}
    assert packed["vbot_train/conf/config.yaml"] == (CONF_DIR / "config.yaml").read_bytes()


def test_the_wheel_is_what_runs_and_reads_its_own_conf(call, environment):
    code = "import vbot_train; from vbot_train.config.composition import CONF_DIR; print(vbot_train.__file__, CONF_DIR)"
    for path in call("-c", code, program="python").split():
        assert Path(path).is_relative_to(environment), path


def test_a_search_writes_its_report(study, wheel):
    assert (study / "multirun/s/analysis/report.html").stat().st_size > 100_000
    record = yaml.safe_load((study / "multirun/s/study.yaml").read_text(encoding="utf-8"))
    assert record["revision"] == wheel.name.split("-")[1]  # there is no commit to name


def test_the_lines_to_type_next_begin_with_what_was_typed(study):
    page = (study / "multirun/s/analysis/report.html").read_text(encoding="utf-8")
    best = (study / "multirun/s/analysis/experiment/best.yaml").read_text(encoding="utf-8")
    assert "vbot-train evaluate multirun/s/" in page and "vbot-train --config-dir multirun/s/analysis" in best
    assert "python -m" not in page + best


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("status", "multirun/s"), "2 of 2"),
        (("compare", "multirun/s", TRIAL), "success_rate"),
        (("analyze", "multirun/s", "--metric", "success_rate"), "by_success_rate"),
        (("evaluate", TRIAL, "--episodes", "4", "--env", "section001_far"), "success_rate"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_the_other_commands_read_it(call, study, arguments, said):
    assert said in call(*arguments)


def test_the_best_and_a_trial_are_trained_again_to_the_same_result(call, study):
    best = (study / "multirun/s/analysis/experiment/best.yaml").read_text(encoding="utf-8")
    number = int(re.search(r"# Trial (\d+),", best)[1])
    for name, arguments, trial in (
        ("best", ("--config-dir", "multirun/s/analysis", "experiment=best"), number),
        ("rerun", ("--experimental-rerun", TRIAL), 0),
    ):
        call(*arguments, f"hydra.run.dir=again/{name}", *ONE_THREAD)  # as each of two workers has
        assert read_metrics(study / "again" / name) == read_metrics(study / f"multirun/s/trials/{trial:03d}")


def test_a_copy_of_conf_is_searched_where_it_is_named(call, study):
    assert "--config-path conf" in call("init")
    (study / "conf/network/medium.yaml").write_text("hidden_layer_sizes: [24, 24]\n", encoding="utf-8")
    line = ("training=smoke", "ppo.rollouts=24,16", "method=random", "search.max_trials=1", "search.confirm=none")
    call("--config-path", "conf", "-m", *line, "study=copied", "workers=1")
    again = call("--config-dir", "multirun/copied/analysis", "experiment=best", "--cfg", "job", "--package", "network")
    assert yaml.safe_load(again) == {"hidden_layer_sizes": [24, 24]}
    assert "24" not in call("--cfg", "job", "--package", "network"), "the copy was found by chance"


@pytest.mark.skipif(shutil.which("uvx") is None, reason="uv is not here")
def test_uvx_runs_the_wheel(wheel, tmp_path):
    line = ["uvx", "--from", str(wheel), "vbot-train", "--help"]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0 and "== Config ==" in done.stdout, done.stderr
