"""Whole chains whose trials train nothing: stopped, killed, gone on with."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from vbot_train.pipeline.state import ChainState
from vbot_train.study.loading import load_study

SCRIPT = Path(__file__).with_name("idle_chain.py")
STAGES = [
    "pipeline/stages=[]",
    "+pipeline.stages.hp={kind: search, search: full, trials: 4, share: 1, length: 1,"
    " overrides: ['search.confirm=none']}",
    "+pipeline.stages.reward={kind: search, search: reward, generations: 2, trials: 3, share: 1, length: 1,"
    " overrides: ['search.confirm=none']}",
    "+pipeline.stages.compare={kind: compare, share: 1, length: 1,"
    " overrides: ['search.metric=success_rate', 'search.confirm.top_k=2', 'search.confirm.seeds=1',"
    " 'search.test.seeds=2']}",
]
FIRST = STAGES[:2]  # a chain of one search
TYPED = ["training=smoke", "scheduler=none", "workers=2", "budget_hours=0.5"]
NAMES = ["1-hp", "2-reward-1", "3-reward-2", "4-compare"]

# Trainings of a whole chain: those of the stages above; generation 2 takes over the 3 of generation 1 and adds 3 new
# ones. As the values depend on the learning rate alone, no reward is better than another: hp's best is compared with
# the default, each confirmed on one seed and tested on two.
COUNTS = {
    "1-hp/trials": 4,
    "2-reward-1/trials": 3,
    "3-reward-2/trials": 6,
    "4-compare/trials": 2,
    "4-compare/confirm": 2,
    "4-compare/test": 4,
}


class Chains:
    """Commands that run one chain in one directory."""

    def __init__(self, cwd):
        self.cwd = cwd
        self.stages = STAGES
        self.directory = cwd / "multirun" / "n"

    def start(self, *typed, **environment):
        return subprocess.Popen(
            [sys.executable, str(SCRIPT), *self.stages, *TYPED, *typed],
            cwd=self.cwd,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            process_group=0,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
        )

    def run(self, *typed, code=0, **environment):
        """Run the command to its end. Returns what it printed."""
        process = self.start(*typed, **environment)
        output, _ = process.communicate(timeout=300)
        assert process.returncode == code, output
        assert "Traceback" not in output, output
        return output

    @property
    def state(self):
        return ChainState.read(self.directory)

    def trials(self):
        """Of each study: configuration and seed of every trial, in the order of their numbers."""
        studies = {name: load_study(self.directory / name) for name in NAMES if (self.directory / name).is_dir()}
        return {
            f"{name}/{stage}": [(tuple(trial.params.items()), trial.result.seed) for trial in trials]
            for name, study in studies.items()
            for stage, trials in (("trials", study.trials), ("confirm", study.confirm), ("test", study.test))
        }

    def count_trials(self):
        """Of each study with trials: how many."""
        return {name: len(trials) for name, trials in self.trials().items() if trials}

    def wait_for(self, step):
        """Until a step's study has a trial that has ended."""
        deadline = time.monotonic() + 120
        while not list((self.directory / step).glob("trials/*/result.yaml")):
            assert time.monotonic() < deadline, "waited too long"
            time.sleep(0.1)


@pytest.fixture
def chains(tmp_path):
    return Chains(tmp_path)


def kill_all(process, cwd):
    """Kill a chain's command, its search and the search's trials, which are in groups of their own."""
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    for found in Path("/proc").glob("[0-9]*"):
        try:
            if (found / "cwd").readlink() == cwd and b"idle" in (found / "cmdline").read_bytes():
                os.kill(int(found.name), signal.SIGKILL)
        except OSError:  # it has just ended
            continue


@pytest.mark.slow
def test_a_chain_runs_every_step_from_the_best_before_it_and_says_what_came_of_it(chains):
    output = chains.run()
    state = chains.state
    assert state.status == "done" and [step.name for step in state.steps] == NAMES
    assert [step.status for step in state.steps] == ["done"] * 4
    for name in NAMES:
        assert f"study=n-{name} hydra.sweep.dir=multirun/n/{name}" in state.find(name).command
    assert "--config-dir multirun/n/candidates" in state.find("2-reward-1").command
    assert " experiment=hp " in state.find("2-reward-1").command
    assert " experiment=reward-1 " in state.find("3-reward-2").command
    record = yaml.safe_load((chains.directory / "3-reward-2" / "study.yaml").read_text(encoding="utf-8"))
    assert record["config"]["search"]["around"] == "multirun/n/2-reward-1"
    compared = chains.trials()
    assert ((("experiment", "default"),), 43) in compared["4-compare/trials"]
    assert chains.count_trials() == COUNTS
    assert 0 < state.hours_used < 0.5 and state.hours_left == pytest.approx(0.5 - state.hours_used, abs=1e-4)
    page = (chains.directory / "report.html").read_text(encoding="utf-8")
    assert "default" in output and str(Path("multirun") / "n" / "report.html") in output
    assert all(name in page for name in NAMES)
    assert chains.run() and chains.trials() == compared  # once more: nothing is left to do


@pytest.mark.slow
def test_a_chain_that_is_stopped_says_how_it_goes_on_and_trains_nothing_twice(chains):
    chains.stages = FIRST
    process = chains.start(IDLE_S="1")
    chains.wait_for("1-hp")
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 143, output
    assert "stopped; to go on with the chain: the same line" in output
    assert chains.state.status == "stopped" and chains.state.find("1-hp").status == "running"
    stamps = {path: path.stat().st_mtime_ns for path in chains.directory.rglob("result.yaml")}
    chains.run()
    assert stamps and all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())
    assert chains.count_trials() == {"1-hp/trials": 4} and chains.state.status == "done"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_a_chain_that_is_killed_in_any_step_ends_with_the_studies_of_one_that_was_not(chains):
    given = {}
    for step in NAMES:
        process = chains.start(IDLE_S="0.3")
        chains.wait_for(step)
        kill_all(process, chains.cwd)
        given[step] = chains.state.find(step).budget_hours
    chains.run()
    assert all(chains.state.find(step).budget_hours <= hours for step, hours in given.items())  # no kill gives more
    assert chains.count_trials() == COUNTS
    assert all(len(set(trials)) == len(trials) for trials in chains.trials().values())


@pytest.mark.slow
def test_a_search_that_outlived_its_chain_is_waited_for(chains):
    chains.stages = FIRST
    process = chains.start(IDLE_S="3")
    chains.wait_for("1-hp")
    process.kill()  # alone: its search goes on
    process.wait()
    output = chains.run()
    assert "n-1-hp: another process works on this study; waiting for its end" in output
    assert all(len(set(trials)) == len(trials) for trials in chains.trials().values())
    assert chains.state.status == "done"


@pytest.mark.slow
def test_two_commands_never_run_one_chain(chains):
    chains.stages = FIRST
    process = chains.start(IDLE_S="1")
    chains.wait_for("1-hp")
    assert "another command runs this chain" in chains.run(code=1)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=120)


@pytest.mark.slow
def test_a_step_that_fails_ends_the_chain_with_its_code_and_the_line_to_go_on(chains):
    output = chains.run(code=1, IDLE_CRASH="all")
    assert "to go on with the chain: the same line" in output
