"""What a person sees of a study: once, live, and of one that really runs."""

import io
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console
from standing import DEFAULT_POINT, add_trials, again, ended, running, write_curve, write_files, write_study

from vbot_train.status import __main__ as status
from vbot_train.status.observer import Observer
from vbot_train.status.render import format_duration, render_status
from vbot_train.training.result import TrialResult

HOUR_AGO = timedelta(hours=1)


def seen(study):
    """Every line of the picture, without the blanks between its columns."""
    console = Console(file=io.StringIO(), width=200)
    console.print(render_status(Observer(study).look()))
    return [" ".join(line.split()) for line in console.file.getvalue().splitlines()]


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["status", *map(str, arguments)])
    status.main()


def test_a_search_at_work_is_told_in_the_order_of_a_persons_questions(tmp_path):
    start = datetime.now(UTC) - HOUR_AGO
    small = {"ppo.learning_rate": 1e-3, "network": "small"}
    trials = [ended(500.0, start=start, value=2.5), ended(700.0, start=start, value=1.5, params=small)]
    study = write_study(tmp_path / "s", [*trials, running(120), running(120, params=small)], budget_hours=12)
    write_curve(study / "trials" / "002", "1,250,50.4,-1.0,0.75,0.125")
    write_curve(study / "trials" / "003", "1,10,49.0,-1.0,,")
    metrics = {"episode_reward_mean": 2.5, "success_rate": 0.5}
    (study / "trials" / "000" / "result.yaml").unlink()
    TrialResult(status="completed", trial=0, seed=42, seeds=[42], metrics=metrics).save(study / "trials" / "000")
    lines = [line for line in seen(study) if line and "─" not in line]
    assert lines[0] == "study s: running, 2 at a time"
    assert lines[1] == "trials 2 of 10 have ended, 2 running"
    assert lines[2].startswith("ETA about 38 min, at ")  # 360 s and 480 s to go, then three of 600 s on each
    assert lines[3] == "budget 11.8 h of 12 h left"  # 700 s and 120 s are spent
    assert lines[4] == "env steps per s episode_reward_mean success time"
    assert lines[5] == "trial 2 250 / 1,000 25% 50 0.75 12.5% 2 min"
    assert lines[6] == "trial 3 10 / 1,000 1% 49 - - 2 min"
    assert lines[7:9] == ["trial 2 default", "trial 3 learning_rate=0.001 network=small"]
    assert lines[9:] == ["best trial 0: episode_reward_mean 2.5, success 50.0% default", "ended 2 completed"]


def test_a_killed_search_is_silent_and_says_how_to_go_on(tmp_path):
    study = write_study(tmp_path / "s", [ended(600.0), running(age_s=900)])
    write_curve(study / "trials" / "001", "1,100,50.0,-1.0,,", age_s=720)
    lines = seen(study)
    assert lines[0] == "study s: silent for 12 min; if its search was killed, the same command line goes on with it"
    assert lines[1] == "trials 1 of 10 have ended, 0 running, 1 silent"
    assert lines[2] == "ETA about 90 min once it goes on, 1 at a time"  # nine of 10 min
    assert any(line.endswith("silent for 12 min") for line in lines[3:])


def test_a_study_without_trials_says_so(tmp_path):
    lines = seen(write_study(tmp_path / "s"))
    assert lines[:3] == [
        "study s: no trial runs",
        "trials 0 of 10 have ended, 0 running",
        "ETA not known before a trial has trained for a while",
    ]
    assert lines[3:] == ["best none yet"]


def test_a_search_that_was_stopped_says_since_when(tmp_path):
    study = write_study(tmp_path / "s", [ended(600.0, start=datetime.now(UTC) - HOUR_AGO)])
    assert seen(study)[0] == "study s: no trial runs, for 50 min"


def test_a_search_between_two_trials_is_alive(tmp_path):
    lines = seen(write_study(tmp_path / "s", [ended(60.0)]))
    assert lines[0] == "study s: running, 1 at a time" and lines[2].startswith("ETA about 9 min, at ")


def test_a_study_that_is_over_says_so(tmp_path):
    lines = seen(write_study(tmp_path / "s", [ended()], max_trials=1))
    assert lines[0] == "study s: all trials have ended" and lines[2] == "ETA done"


def test_an_end_that_the_budget_brings_is_foretold(tmp_path):
    study = write_study(tmp_path / "s", [ended(1790.0, start=datetime.now(UTC) - HOUR_AGO), running(1)], budget_hours=1)
    lines = seen(study)
    assert re.fullmatch(r"ETA about 30 min, at (\d\d \w+ )?\d\d:\d\d, as the budget ends", lines[2])
    assert lines[3] == "budget 0.5 h of 1 h left; 2 of 10 trials will fit"


def test_the_later_stages_compare_their_configurations_best_first(tmp_path):
    later = {
        "confirm": {"top_k": 2, "seeds": [1001, 1002]},
        "test": {"seeds": [2001, 2002, 2003], "evaluation_seed": 7},
    }
    study = write_study(tmp_path / "s", [ended()] * 2, max_trials=2, **later)
    values = [(1, 3.0), (0, 2.0), (1, 5.0)]
    trainings = [again(number, ended, value=value) for number, value in values]
    add_trials(study, "s/confirm", [*trainings, again(-1, running, age_s=9)])
    write_files(study / "confirm", trainings, seeds=[1001, 1001, 1002])
    lines = seen(study)
    assert lines[2] == "confirm 3 of 4 have ended, 1 running; trial 1 4 (2 seeds); trial 0 2 (1 seed)"
    assert lines[3].startswith("ETA")  # of one configuration, there is nothing to test
    assert "confirm 3 default again" in lines


def test_failures_are_grouped_by_cause_the_most_frequent_first(tmp_path):
    failed = [ended(1.0, "failed", cause="killed (signal 9); out of memory?")]
    diverged = [ended(1.0, "diverged", cause=f"action {size} in update {size}") for size in (1e3, 2000.5)]
    timeout = [ended(1.0, "timeout", cause="longer than 5 min")] * 7
    lines = seen(write_study(tmp_path / "s", [ended(), *failed, *diverged, *timeout]))
    assert lines[-4:] == [
        "ended 1 completed, 2 diverged, 7 timeout, 1 failed",
        "7 timeout: longer than 5 min (trials/004, trials/005, trials/006, trials/007, trials/008 and 2 more)",
        "2 diverged: such as action 1000.0 in update 1000.0 (trials/002, trials/003)",
        "1 failed: killed (signal 9); out of memory? (trials/001)",
    ]


def test_the_best_is_the_least_of_a_metric_to_minimize(tmp_path):
    points = [DEFAULT_POINT | {"ppo.learning_rate": rate} for rate in (1e-4, 3e-4, 1e-3)]
    trials = [ended(value=value, params=point) for value, point in zip((0.3, 0.1, 0.2), points, strict=True)]
    study = write_study(tmp_path / "s", trials, metric="fall_rate")
    assert "best trial 1: fall_rate 0.1 default" in seen(study)


def points(*rates):
    return [DEFAULT_POINT | {"ppo.learning_rate": rate} for rate in rates]


def test_a_trial_that_a_script_added_or_left_running_is_neither_the_best_nor_counted(tmp_path):
    outside = ended(value=99.0)
    outside.user_attrs = {}
    left = running(age_s=900)
    left.user_attrs = {}
    lines = seen(write_study(tmp_path / "s", [ended(value=1.0), outside, left], files=True, max_trials=2))
    assert lines[1] == "trials 1 of 2 have ended, 0 running"
    assert "best trial 0: episode_reward_mean 1 default" in lines and "ended 1 completed" in lines
    assert (
        lines[-1]
        == f"left out: {tmp_path}/s/trials/001: no search trained it, something else wrote it into the database"
    )


def test_what_the_analysis_leaves_out_is_not_the_best_here_either(tmp_path):
    trials = [ended(value=value, params=point) for value, point in zip((2.0, 3.0), points(1e-4, 3e-4), strict=True)]
    study = write_study(tmp_path / "s", trials)
    assert "best trial 1: episode_reward_mean 3 default" in seen(study)
    shutil.rmtree(study / "trials" / "001")
    lines = seen(study)
    assert "best trial 0: episode_reward_mean 2 learning_rate=0.0001" in lines and "ended 1 completed" in lines
    assert lines[-1] == f"left out: {study}/trials/001/result.yaml cannot be read: No such file or directory"


def test_a_configuration_that_lost_a_seed_is_not_the_best(tmp_path):
    first, second = points(1e-4, 3e-4)
    trials = [ended(value=9.0, params=first), ended(status="diverged", params=first), ended(value=1.0, params=second)]
    study = write_study(tmp_path / "s", trials)
    assert "best trial 2: episode_reward_mean 1 default" in seen(study)
    alone = write_study(tmp_path / "t", trials[:2])
    assert "best trial 0: episode_reward_mean 9 on 1 of 2 seeds learning_rate=0.0001" in seen(alone)


def test_the_best_is_the_winner_once_it_is_confirmed(tmp_path):
    trials = [ended(value=value, params=point) for value, point in zip((2.0, 3.0), points(1e-4, 3e-4), strict=True)]
    later = {"confirm": {"top_k": 2, "seeds": [1001]}, "test": None}
    study = write_study(tmp_path / "s", trials, max_trials=2, **later)
    confirming = [again(0, ended, value=5.0), again(1, ended, status="diverged")]
    confirming[1].user_attrs["seed"] = 1001
    add_trials(study, "s/confirm", confirming)
    write_files(study / "confirm", confirming, seeds=[1001, 1001])
    lines = seen(study)
    assert "confirm 2 of 2 have ended, 0 running; trial 0 5 (1 seed); trial 1 - (0 of 1 seeds)" in lines
    assert "best trial 0: episode_reward_mean 5 over 1 seed, confirmed learning_rate=0.0001" in lines


def test_what_a_study_holds_is_shown_as_it_is(tmp_path):
    point = DEFAULT_POINT | {"ppo.learning_rate": 1e-4}
    study = write_study(tmp_path / "[red]ü", [running(params=point), ended(cause="[bold]x", status="failed")])
    lines = seen(study)
    assert lines[0].startswith("study [red]ü: ")
    assert "trial 0 learning_rate=0.0001" in lines
    assert lines[-1] == "1 failed: [bold]x (trials/001)"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (99, "99 s"), (100, "2 min"), (5940, "99 min"), (6000, "1.7 h"), (720000, "200.0 h")],
)
def test_a_time_span_has_the_unit_that_suits_it(seconds, text):
    assert format_duration(seconds) == text


@pytest.mark.parametrize("arguments", [[], ["--watch"]])
def test_on_what_is_no_terminal_it_is_told_once(tmp_path, monkeypatch, capsys, arguments):
    run(monkeypatch, write_study(tmp_path / "s"), *arguments)
    out = capsys.readouterr().out
    assert out.count("study s:") == 1 and "\x1b" not in out


def test_what_is_no_study_ends_it_with_a_line(tmp_path, monkeypatch):
    with pytest.raises(SystemExit) as end:
        run(monkeypatch, tmp_path / "none")
    assert str(end.value).endswith("none: not the directory of a study (there is no study.yaml)")


@pytest.mark.parametrize("every", ["0", "-1", "nan", "inf", "soon"])
def test_a_pause_that_is_none_is_refused(tmp_path, monkeypatch, capsys, every):
    with pytest.raises(SystemExit):
        run(monkeypatch, tmp_path, "--watch", f"--every={every}")
    assert f"argument --every: invalid seconds value: '{every}'" in capsys.readouterr().err


def test_it_imports_neither_torch_nor_mujoco():
    code = "import sys, vbot_train.status.__main__; print({'torch', 'mujoco', 'skrl'} & sys.modules.keys())"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "set()\n"


def test_watching_shows_a_step_that_advances_and_stays_when_the_study_cannot_be_read(tmp_path, monkeypatch):
    study = write_study(tmp_path / "s", [running(age_s=9)])
    curve = study / "trials" / "000"

    def advance():
        yield write_curve(curve, "1,111,50.0,-1.0,,")
        yield write_curve(curve, "1,111,50.0,-1.0,,", "2,222,50.0,-1.0,,")
        yield (study / "study.db").rename(study / "gone.db")
        yield (study / "gone.db").rename(study / "study.db")
        raise KeyboardInterrupt

    steps = advance()
    monkeypatch.setattr(time, "sleep", lambda seconds: next(steps))
    console = Console(file=io.StringIO(), force_terminal=True, width=400, height=40)
    monkeypatch.setattr(status, "Console", lambda **options: console)
    status.show_status(study, every_s=2.0)  # Ctrl-C is how it is meant to end
    pictures = console.file.getvalue().split("study s: ")[1:]
    assert [re.findall(r"(\d+) / 1,000", one)[0] for one in pictures[:3]] == ["0", "111", "222"]
    trouble = [one for one in pictures if "trying again" in one]
    assert trouble and all("222 / 1,000" in one for one in trouble)
    assert "trying again" not in pictures[-1]


class Screen:
    """``status --watch`` in a terminal of its own."""

    def __init__(self, study):
        command = [sys.executable, "-m", "vbot_train.status", str(study), "--watch", "--every", "0.5"]
        self.process, self._terminal = pty.fork()
        if self.process == 0:
            os.execve(command[0], command, {**os.environ, "TERM": "xterm", "COLUMNS": "120", "LINES": "40"})
        self.text = ""

    def read_until(self, has_come, patience_s):
        deadline = time.monotonic() + patience_s
        while not has_come(self.text):
            assert time.monotonic() < deadline, self.text
            if select.select([self._terminal], [], [], 0.2)[0]:
                self.text += os.read(self._terminal, 65536).decode()

    def press_ctrl_c(self):
        os.write(self._terminal, b"\x03")
        with suppress(OSError):  # the terminal is gone when the process has ended; unread, it would block the process
            while os.read(self._terminal, 65536):
                pass
        _, code = os.waitpid(self.process, 0)
        return os.waitstatus_to_exitcode(code)


@pytest.mark.slow
def test_watching_a_running_search_shows_a_trials_step_advancing(tmp_path):
    line = ["-m", "study=s", "ppo.learning_rate=1e-4,3e-4", "training=smoke", "training.env_steps=200000", "workers=1"]
    search = subprocess.Popen(
        [sys.executable, "-m", "vbot_train", *line], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT
    )
    try:
        study = tmp_path / "multirun" / "s"
        deadline = time.monotonic() + 120
        while not list(study.glob("trials/000/progress.csv")):
            assert time.monotonic() < deadline and search.poll() is None
            time.sleep(0.1)
        screen = Screen(study)
        screen.read_until(lambda text: len(set(steps_in(text))) >= 4, patience_s=120)
        steps = steps_in(screen.text)
        assert steps == sorted(steps)
        assert "study s: running, 1 at a time" in screen.text and "Traceback" not in screen.text
        assert screen.press_ctrl_c() == 0
    finally:
        search.send_signal(signal.SIGINT)
        search.wait(60)


def steps_in(text):
    """Env steps of trial 0 in each picture."""
    return [int(steps.replace(",", "")) for steps in re.findall(r"trial 0\s+([\d,]+) / 200,000", text)]


def test_a_reader_that_has_gone_does_no_harm(tmp_path):
    study = write_study(tmp_path / "s", [ended(600.0)])
    reader, writer = os.pipe()
    os.close(reader)
    line = [sys.executable, "-m", "vbot_train.status", str(study)]
    done = subprocess.run(line, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")
