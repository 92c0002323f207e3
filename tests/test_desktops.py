"""One training and one search where the system is not Linux: tried on Linux, with what Windows lacks and refuses."""

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from vbot_train.training.result import TrialResult

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc for open files")

WINDOWS_LIKE = Path(__file__).parent / "windows_like"
ROOT = Path(__file__).parents[1]
SIGBREAK = 21  # its number on Windows
SECONDS = ["training=smoke", "training.env_steps=15_360"]  # 20 updates: long enough for Ctrl-C to come in between
SMALL = ["network=small", "ppo.learning_epochs=2", "ppo.mini_batches=8", "ppo.rollouts=24"]


@pytest.fixture
def start(tmp_path):
    """``start("-m", "vbot_train", ...)``: Python in tmp_path, as on Windows."""
    processes = []

    def begin(*arguments):
        paths = map(str, filter(None, [WINDOWS_LIKE, ROOT, os.environ.get("PYTHONPATH")]))
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            process_group=0,
        )
        processes.append(process)
        return process

    yield begin
    for process in processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


@pytest.fixture
def run(start):
    """``run("-m", "vbot_train", ...)``: the same to its end. Gives what it printed."""

    def run_to_its_end(*arguments):
        process = start(*arguments)
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0, output
        assert "Traceback" not in output, output
        return output

    return run_to_its_end


def interrupt(process, file, sent=signal.SIGINT):
    """Ctrl-C, or another signal, as soon as a file has rows; gives what the process printed."""
    deadline = time.monotonic() + 60
    while not (file.exists() and file.read_text(encoding="utf-8").count("\n") > 1):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)
    os.killpg(process.pid, sent)  # as a terminal sends it: to the processes that were started, too
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 128 + sent, output
    assert "Traceback" not in output, output
    return output


def test_a_training_is_interrupted_and_continued(start, run, tmp_path):
    line = ["-m", "vbot_train", *SECONDS, *SMALL, "hydra.run.dir=run"]
    interrupt(start(*line), tmp_path / "run" / "progress.csv")
    run(*line)
    assert TrialResult.load(tmp_path / "run").status == "completed"


def test_a_console_that_closes_ends_a_training_in_order(start, tmp_path):
    line = ["-m", "vbot_train", *SECONDS, *SMALL, "hydra.run.dir=run"]
    interrupt(start(*line), tmp_path / "run" / "progress.csv", SIGBREAK)


@pytest.mark.slow
def test_a_search_is_interrupted_and_continued_to_its_analysis(start, run, tmp_path):
    search = ["method=random", "search.max_trials=3", "search.confirm.top_k=0", "workers=2", "study=s"]
    space, study = "ppo.learning_rate=tag(log,interval(1e-4,1e-3))", tmp_path / "multirun" / "s"
    line = ["-m", "vbot_train", "-m", *search, space, *SECONDS, *SMALL]
    output = interrupt(start(*line), study / "trials" / "000" / "progress.csv")
    python, *rest = shlex.split(output.splitlines()[-1].partition("to go on: ")[2])
    assert python == "python", output
    run(*rest)
    results = [TrialResult.load(path.parent) for path in study.glob("trials/*/result.yaml")]
    assert [result.status for result in results].count("completed") == 3
    found = yaml.safe_load((study / "analysis" / "hyperparameter_importance.yaml").read_text(encoding="utf-8"))
    assert found["trials"]["completed"] == 3
    assert (study / "analysis" / "report.html").exists()


HELD = """
import os
from pathlib import Path
with open("held", "w"), open("free", "w") as free:
    free.close()
    for act in (lambda: os.remove("held"), lambda: os.replace("free", "held"), lambda: Path("held").rename("other")):
        try:
            act()
        except PermissionError:
            print("refused")
for name in ("a:b", "nul.txt", "dot."):
    try:
        Path(name).mkdir()
    except OSError:
        print("refused")
os.replace("free", "held")
"""


def test_what_is_open_or_misnamed_is_refused_as_on_windows(run):
    assert run("-c", HELD).split() == ["refused"] * 6


READ = """
import threading, time
from pathlib import Path
from vbot_train.training.files import write_atomically
def read():
    with path.open():
        opened.set()
        time.sleep(0.3)
path, opened = Path("file"), threading.Event()
path.write_text("before")
threading.Thread(target=read).start()
opened.wait()
write_atomically(path, "after")
print(path.read_text(), [path.name for path in Path().iterdir()])
"""


def test_a_file_that_is_being_read_is_replaced_once_its_reader_closes_it(run):
    assert run("-c", READ) == "after ['file']\n"


LOOPS = """
from pathlib import Path
from vbot_train.search.execution.worker_lock import WorkerLock
with WorkerLock(Path("study")) as own, WorkerLock(Path("study")) as other, own.hold():
    dead = own._locate_file("host-1-abc")
    dead.touch()
    print(own.list_others() == [other.name], dead.exists())
print([path.name for path in dead.parent.iterdir()])
"""


def test_a_workers_file_goes_with_it(run):
    assert run("-c", LOOPS).splitlines() == ["True False", "['study.lock']"]


def test_our_modules_lack_what_windows_lacks_and_others_do_not(run):
    code = (
        "import os, signal, vbot_train.signals as ours\n"
        "print([hasattr(signal, 'SIGHUP'), hasattr(ours.signal, 'SIGHUP'), hasattr(ours.os, 'killpg')])\n"
        "print(ours.sys.platform, [hasattr(os, 'fork'), hasattr(ours.os, 'fork')])"
    )
    assert run("-c", code).splitlines() == ["[True, False, False]", "win32 [True, False]"]
