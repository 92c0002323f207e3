"""Runs and studies that were written by hand, compared by the command."""

import copy
import json
import os
import subprocess
import sys

import pytest
import yaml
from optuna.distributions import FloatDistribution
from standing import add_trials, again, ended, write_study

from vbot_train.compare.__main__ import main
from vbot_train.training.metrics import METRICS
from vbot_train.training.result import TrialResult

CURVE = "env_steps,success_rate,reward\n100,0.0,nan\n200,0.5,2.0\n"


@pytest.fixture
def write_run(tmp_path, config):
    """``write_run("a", {"ppo.rollouts": 48}, reward=2.0)``: a run's directory, its config and metrics changed."""

    def write(name, changes=None, *, curve=CURVE, status="completed", cause=None, seed=42, env_steps=200, **metrics):
        directory, content = tmp_path / name, copy.deepcopy(config)
        for key, value in (changes or {}).items():
            *groups, leaf = key.split(".")
            node = content
            for group in groups:
                node = node[group]
            node[leaf] = value
        (directory / ".hydra").mkdir(parents=True)
        (directory / ".hydra" / "config.yaml").write_text(yaml.safe_dump(content | {"seed": seed}), encoding="utf-8")
        (directory / "experiment.yaml").write_text("seed: 1\n", encoding="utf-8")
        values = dict.fromkeys(METRICS, 0.5) | metrics
        TrialResult(status, None, seed, seeds=[seed], metrics=values, env_steps=env_steps, cause=cause).save(directory)
        if curve is not None:
            (directory / "progress.csv").write_text(curve, encoding="utf-8")
        return directory

    return write


@pytest.fixture
def write_search(tmp_path, write_run):
    """``write_search("s", [(1.0, 100), ...])``: a study whose trials have these rewards and env steps; None failed."""

    def write(name, trials, **record):
        points = [{"ppo.learning_rate": 1e-4 * (n + 1), "network": "small"} for n in range(len(trials))]
        statuses = ["failed" if value is None else "completed" for value, _ in trials]
        rows = [
            ended(value=value, status=status, params=point)
            for (value, _), status, point in zip(trials, statuses, points, strict=True)
        ]
        directory = write_study(tmp_path / name, rows, files=False, **record)
        for n, ((value, env_steps), status) in enumerate(zip(trials, statuses, strict=True)):
            rate = {"ppo.learning_rate": points[n]["ppo.learning_rate"]}
            write_run(f"{name}/trials/{n:03d}", rate, status=status, env_steps=env_steps, episode_reward_mean=value)
        return directory

    return write


@pytest.fixture
def compare(monkeypatch, capsys):
    """Run a command line in this process. Returns what the user reads; what is refused is a line."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["compare", *map(str, arguments)])
        try:
            main()
        except SystemExit as end:
            return str(end.code)  # Python prints a message to stderr, and exits with 1
        return capsys.readouterr().out

    return run


def row_of(output, key):
    """The words of the first printed row of that name, behind it."""
    return next(line.split()[1:] for line in output.splitlines() if line.split()[:1] == [key])


def test_it_imports_neither_torch_nor_mujoco():
    code = "import sys, vbot_train.compare.__main__; print({'torch', 'mujoco', 'skrl'} & sys.modules.keys())"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "set()\n"


def test_a_run_has_no_difference_to_itself(write_run, compare):
    run = write_run("a")
    output = compare(run, run)
    assert "configuration: no difference" in output and "metrics: no difference" in output
    assert row_of(output, "stage1_points") == ["0.5", "0.5"]


def test_a_rerun_on_more_threads_under_another_name_has_no_difference(write_run, compare):
    there = {"study": "other", "workers": 2, "storage": "sqlite:///x.db", "simulation.threads": 7, "budget_hours": 1.0}
    output = compare(write_run("a"), write_run("b", there))
    assert "configuration: no difference" in output and "metrics: no difference" in output


def test_another_seed_is_no_other_configuration_but_is_told_apart(write_run, compare):
    output = compare(write_run("a", seed=42), write_run("b", seed=43))
    assert "configuration: no difference" in output
    assert row_of(output, "seed") == ["[42]", "[43]"]


def test_the_leaves_that_differ_are_shown_and_close_values_in_full(write_run, compare):
    changes = {"ppo.rollouts": 48, "ppo.learning_rate": 1.00001e-3, "network.hidden_layer_sizes": [8]}
    output = compare(write_run("a"), write_run("b", changes))
    assert "configuration: 3 of its keys differ" in output
    assert row_of(output, "ppo.rollouts") == ["24", "48"]
    assert row_of(output, "ppo.learning_rate") == ["0.001", "0.00100001"]
    assert row_of(output, "network.hidden_layer_sizes") == ["[256,", "128,", "64]", "[8]"]


def test_metrics_and_learning_curves_stand_side_by_side(write_run, compare):
    longer = "env_steps,success_rate,reward\n100,0.0,1.0\n400,0.9,4.0\n"
    output = compare(write_run("a", episode_reward_mean=3.5), write_run("b", curve=longer, episode_reward_mean=1.25))
    assert row_of(output, "episode_reward_mean") == ["3.5", "1.25"]
    assert "2.25" in output and "one seed each" in output
    assert row_of(output, "200") == ["0.5", "/", "2", "0.3", "/", "2"]  # a third of the way from 100 to 400
    assert row_of(output, "100") == ["0", "/", "-", "0", "/", "1"]  # no episode of the first had ended


def test_a_trial_on_several_seeds_is_as_many_runs(tmp_path, write_run, compare):
    trials = []
    for name, shift in (("a", 1.0), ("b", 0.0)):
        trial = write_run(name)
        (trial / "result.yaml").unlink()
        (trial / "progress.csv").unlink()
        for seed in (42, 43):
            write_run(f"{name}/seed_{seed}", seed=seed, episode_reward_mean=shift + seed)
        TrialResult("completed", 0, 42, seeds=[42, 43], metrics={}).save(trial)
        trials.append(trial)
    output = compare(*trials)
    assert "paired by seed: 42, 43" in output and "1 [1, 1]" in output
    assert ": mean of 2 training seeds" in output
    assert "which contains the true median in 50% of cases" in output  # half of all pairs lie on one side of the middle


@pytest.mark.parametrize(
    ("stages", "told", "value"),
    [
        ((), "as the search saw it", 3.0),
        (("confirm",), "confirmed", 4.0),
        (("confirm", "test"), "tested", 5.0),
    ],
)
def test_a_study_stands_for_its_best_configuration_by_the_last_stage_of_it(
    write_search, write_run, compare, tmp_path, stages, told, value
):
    later = {"confirm": {"top_k": 2, "seeds": [1001]}, "test": {"seeds": [2001], "evaluation_seed": 3_000_003}}
    study = write_search("s", [(1.0, 100), (3.0, 100)], **later)
    for stage, rewards in (("confirm", (0.0, 4.0)), ("test", (0.5, 5.0))):
        if stage in stages:
            add_trials(study, f"s/{stage}", [again(number, ended, value=rewards[number]) for number in (0, 1)])
            for number, reward in enumerate(rewards):
                write_run(f"s/{stage}/{number:03d}", seed=later[stage]["seeds"][0], episode_reward_mean=reward)
    compare(study, study / "trials" / "000", "--json", tmp_path / "out.json")
    content = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert f"config_001, {told}" in content["sides"][0]["what"]
    assert content["metrics"]["episode_reward_mean"][0]["value"] == value
    assert content["configuration"]["ppo.learning_rate"] == [2e-4, 1e-4]
    assert ("the held-out starts differ (evaluation.seed)" in content["warnings"]) == ("test" in stages)


def test_searches_are_compared_by_the_env_steps_they_spent(write_search, compare):
    slow = write_search("slow", [(1.0, 100), (None, 200), (4.0, 100)])
    quick = write_search("quick", [(2.0, 100), (5.0, 100)])
    output = compare(slow, quick)
    table = output[output.index("searches: best held-out episode_reward_mean") :]
    assert row_of(table, "50") == ["-", "-"]
    assert row_of(table, "100") == ["1", "2"]
    assert row_of(table, "200") == ["1", "5"]
    assert "4 (400)" in table and "5 (200)" in table  # the failed trial cost its steps


def test_studies_of_different_metrics_need_one_to_compare_by(write_search, compare):
    ours, theirs = write_search("a", [(1.0, 100)]), write_search("b", [(1.0, 100)], metric="success_rate")
    assert compare(ours, theirs).startswith("mixed metrics")
    assert "success_rate (higher is better)" in compare(ours, theirs, "--metric", "success_rate")


def test_other_reward_weights_and_tasks_are_told_of(write_run, compare):
    other = write_run("b", {"reward.approach.weight": 9.0, "env.goal_radius_m": 0.1})
    output = compare(write_run("a"), other)
    assert "warning: the tasks differ in env.goal_radius_m" in output and "success_rate (higher is better)" in output
    assert "warning: the rewards differ" in compare(other, write_run("c"), "--metric", "episode_reward_mean")


def test_a_run_without_a_learning_curve_is_compared_all_the_same(write_run, compare, tmp_path):
    ours, theirs = write_run("a", curve=None), write_run("b")
    output = compare(ours, theirs, "--figure", tmp_path / "out.png")
    assert "no learning curve of seed 42" in output and row_of(output, "200") == ["-", "0.5", "/", "2"]
    assert "learning curves: there are none" in compare(ours, ours)


def test_numbers_and_figure_are_written_whole(write_search, compare, tmp_path):
    study = write_search("s", [(1.0, 100), (3.0, 100)])
    other = write_search("t", [(2.0, 100)])
    out = tmp_path / "out"
    out.mkdir()
    compare(study, other, "--json", out / "n.json", "--figure", out / "f.png")
    assert sorted(path.name for path in out.iterdir()) == ["f.png", "n.json"]
    assert (out / "f.png").read_bytes().startswith(b"\x89PNG")
    content = json.loads((out / "n.json").read_text(encoding="utf-8"))
    assert content["differences"][0]["value"] == 1.0
    assert content["learning_curves"][0] == {
        "env_steps": [50, 100, 150, 200],
        "success_rate": [None, 0.0, 0.25, 0.5],
        "reward": [None, None, None, 2.0],  # before the update at 200, no episode had ended
    }
    assert content["searches"]["#1"]["best"] == [1.0, 3.0]


def test_a_bad_trial_of_a_study_is_left_out_with_a_warning_and_the_others_are_compared(write_search, compare):
    study, other = write_search("s", [(1.0, 100), (3.0, 100), (2.0, 100)]), write_search("t", [(1.0, 100)])
    unfinished(study / "trials" / "001")
    output = compare(study, other)
    assert f"#1 {study}: best of the study by episode_reward_mean: config_002, as the search saw it" in output
    assert f"warning: {study}: left out: {study}/trials/001/result.yaml cannot be read: No such file" in output


def test_a_learning_curve_that_cannot_be_read_costs_a_study_that_curve_alone(write_search, compare):
    study, other = write_search("s", [(1.0, 100)]), write_search("t", [(1.0, 100)])
    bad_curve(study / "trials" / "000")
    output = compare(study, other)
    assert "no learning curve of seed 42" in output and row_of(output, "200") == ["-", "0.5", "/", "2"]


def test_of_a_configuration_that_lost_a_seed_nothing_is_said_by_its_survivors(write_run, compare, tmp_path):
    point = {"ppo.learning_rate": 3e-4}
    space = {"ppo.learning_rate": FloatDistribution(1e-5, 1e-2, log=True)}
    ends = [ended(status=status, params=point, space=space) for status in ("completed", "completed", "diverged")]
    study = write_study(tmp_path / "s", ends, files=False)
    for number, status in enumerate(("completed", "completed", "diverged")):
        write_run(f"s/trials/{number:03d}", point, status=status, seed=number, episode_reward_mean=9.0)
    output = compare(study, write_run("a", seed=1))
    assert "as the search saw it on 2 of 3 seeds (seed 2 diverged)" in output
    assert "#1: 1 of 3 training seeds have no value" in output


def unfinished(run):
    (run / "result.yaml").unlink()


def other_schema(run):
    rewrite(run, schema_version=2)


def not_a_number(run):
    rewrite(run, metrics={"success_rate": float("nan")})


def rewrite(run, **changes):
    content = yaml.safe_load((run / "result.yaml").read_text(encoding="utf-8"))
    (run / "result.yaml").write_text(yaml.safe_dump(content | changes), encoding="utf-8")


def diverged(run):
    rewrite(run, status="diverged", cause="the loss is NaN")


def no_config(run):
    (run / ".hydra" / "config.yaml").unlink()


def other_config(run):
    (run / ".hydra" / "config.yaml").write_text("seed: 1\n", encoding="utf-8")


def bad_curve(run):
    (run / "progress.csv").write_text("env_steps,success_rate,reward\n1,2,x\n", encoding="utf-8")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (unfinished, "result.yaml cannot be read"),
        (other_schema, "is not a result of schema version 1"),
        (not_a_number, "success_rate=nan is not a finite number"),
        (diverged, "cannot be compared, it is diverged, not completed: the loss is NaN"),
        (no_config, "not the directory of a run"),
        (other_config, "its config has no training.evaluation_episodes"),
        (bad_curve, "progress.csv cannot be read"),
    ],
)
def test_a_run_that_cannot_be_compared_is_told_of_in_a_line(write_run, compare, spoil, message):
    good, bad = write_run("good"), write_run("bad")
    spoil(bad)
    output = compare(good, bad)
    assert message in output and str(bad) in output and len(output.splitlines()) == 1


def test_what_there_is_nothing_to_say_about_is_told_in_a_line(write_run, write_search, compare, tmp_path):
    run, failed = write_run("a"), write_search("s", [(None, 100)])
    nowhere = tmp_path / "nowhere"
    assert "nothing to compare it with" in compare(run)
    assert (
        compare(run, nowhere)
        == f"{nowhere}: not the directory of a run or a study (it has neither .hydra nor study.yaml)"
    )
    assert compare(run, failed) == f"{failed}: no trial was completed with a value of episode_reward_mean"
    assert compare(run, run, "--figure", tmp_path / "f.pdf").endswith("must end in .png")
    assert compare(run, run, "--json", nowhere / "n.json").endswith("n.json: cannot be written there")


def test_a_reader_that_has_gone_does_no_harm(write_run):
    reader, writer = os.pipe()
    os.close(reader)
    line = [sys.executable, "-m", "vbot_train.compare", str(write_run("a")), str(write_run("b"))]
    done = subprocess.run(line, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")
