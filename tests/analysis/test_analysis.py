"""The analysis of hand-written studies."""

import math
import random
import shutil
import sqlite3
import subprocess
import sys

import optuna
import pytest
import yaml
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState

from vbot_train.analysis.importance import measure_importance
from vbot_train.analysis.report_figures import convert_to_optuna
from vbot_train.analysis.verdict import Verdict
from vbot_train.analyze import analyze, main
from vbot_train.study.errors import StudyError
from vbot_train.study.loading import load_study
from vbot_train.training.metrics import METRICS
from vbot_train.training.result import TrialResult, compute_iqm

SPACE = {
    "ppo.learning_rate": FloatDistribution(1e-5, 1e-2, log=True),
    "network": CategoricalDistribution(["small", "medium", "large"]),
}


@pytest.fixture
def write_study(tmp_path):
    """Write a study of given trials: (params, status, reward), as a search would leave it."""

    def write(trials, space=SPACE, name="hand-written"):
        directory = tmp_path / name
        (directory / "trials").mkdir(parents=True)
        record = {"study": name, "metric": "episode_reward_mean"}
        (directory / "study.yaml").write_text(yaml.safe_dump(record, allow_unicode=True), encoding="utf-8")
        study = optuna.create_study(study_name=name, storage=f"sqlite:///{directory}/study.db", direction="maximize")
        study.set_user_attr("infeasible", {"unstable": 3})
        for number, (params, status, reward) in enumerate(trials):
            write_trial(study, directory, space, number, params, status, reward)
        return directory

    return write


def write_trial(study, directory, space, number, params, status, reward):
    state = TrialState.COMPLETE if status == "completed" else TrialState.FAIL
    value = reward if status == "completed" else None
    told = {"params": params, "distributions": space, "user_attrs": {"status": status}}
    study.add_trial(optuna.trial.create_trial(state=state, value=value, **told))
    trial = directory / "trials" / f"{number:03d}"
    (trial / ".hydra").mkdir(parents=True)
    (trial / ".hydra" / "config.yaml").write_text("seed: 1\n", encoding="utf-8")
    metrics = dict.fromkeys(METRICS, 0.5) | {"episode_reward_mean": reward, "fall_rate": 0.1 * number}
    seed = params.get("seed", 42 + number)
    cost = {"wall_time_s": 10.0 * (number + 1), "env_steps": 1000}
    TrialResult(status=status, trial=number, seed=seed, seeds=[seed], metrics=metrics, **cost).save(trial)
    (trial / "experiment.yaml").write_text(yaml.safe_dump({"seed": number}), encoding="utf-8")
    (trial / "progress.csv").write_text("env_steps,success_rate,reward\n1000,0.5,1.0\n", encoding="utf-8")


def params(learning_rate, network="medium"):
    return {"ppo.learning_rate": learning_rate, "network": network}


FIVE = [
    (params(1e-4), "completed", 1.0),
    (params(2e-4), "completed", 3.0),
    (params(3e-4), "diverged", 9.0),
    (params(4e-4), "completed", 2.0),
    (params(5e-4), "failed", 99.0),
]


def analysis_of(directory, **options):
    return yaml.safe_load(analyze(directory, **options).read_text(encoding="utf-8"))


def test_only_completed_trials_are_ranked_best_first_and_all_are_counted(write_study):
    content = analysis_of(write_study(FIVE))
    assert [config["config_id"] for config in content["top_5_configs"]] == ["config_001", "config_003", "config_000"]
    assert content["top_5_configs"][0]["episode_reward_mean"] == 3.0
    assert content["top_5_configs"][0]["ppo.learning_rate"] == 2e-4
    assert content["top_5_configs"][0]["confirmed"] is None
    assert content["trials"] == {
        **{"completed": 3, "paused": 0, "pruned": 0, "diverged": 1, "timeout": 0, "failed": 1, "interrupted": 0}
    }
    assert content["infeasible"] == {"unstable": 3}
    assert content["best"]["config_id"] == "config_001"


def test_five_trials_are_insufficient_and_get_no_importance(write_study):
    content = analysis_of(write_study(FIVE))
    assert content["importance"]["reliability"] == "insufficient: 3 of 30 completed trials"
    assert [row["importance"] for row in content["importance_ranking"]] == [None]
    assert content["importance_ranking"][0]["parameter"] == "ppo.learning_rate"  # the network was the same in all
    assert content["importance_ranking"][0]["best_value"] == 2e-4


def test_another_metric_ranks_in_its_own_direction(write_study):
    directory = write_study(FIVE)  # fall_rate is a tenth of the trial's number
    best = [config["config_id"] for config in analysis_of(directory, metric="fall_rate")["top_5_configs"]]
    assert best == ["config_000", "config_001", "config_003"]


def test_another_metric_does_not_take_the_answers_place(write_study):
    directory = write_study(FIVE)
    analyze(directory)
    other = analyze(directory, metric="fall_rate")
    assert other == directory / "analysis" / "by_fall_rate" / "hyperparameter_importance.yaml"
    answer = yaml.safe_load((directory / "analysis" / other.name).read_text(encoding="utf-8"))
    assert (answer["metric"], answer["best"]["config_id"]) == ("episode_reward_mean", "config_001")
    assert (other.parent / "experiment" / "best.yaml").read_text(encoding="utf-8").endswith("seed: 0\n")
    assert f"--config-dir {other.parent} experiment=best" in (other.parent / "report.html").read_text(encoding="utf-8")


def test_the_cheapest_within_an_amount_is_by_the_studys_record_or_as_asked_for(write_study, monkeypatch, capsys):
    directory = write_study(FIVE)  # rewards 1, 3 and 2 of trials that took 10, 20 and 40 s
    record = {"study": directory.name, "metric": "episode_reward_mean", "config": {"search": {"within": 1.5}}}
    (directory / "study.yaml").write_text(yaml.safe_dump(record), encoding="utf-8")
    assert analysis_of(directory)["cheapest_within"]["config_id"] == "config_001"
    monkeypatch.setattr(sys, "argv", ["analyze", str(directory), "--within", "2.5"])
    main()
    content = yaml.safe_load((directory / "analysis" / "hyperparameter_importance.yaml").read_text(encoding="utf-8"))
    assert (content["cheapest_within"]["config_id"], content["best"]["config_id"]) == ("config_000", "config_001")
    said = (
        "cheapest within 2.5 (given) of the best seen episode_reward_mean: config_000 with 1, 10 s and 1,000 env steps"
    )
    assert capsys.readouterr().out.count(said) == 1
    assert said in (directory / "analysis" / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(("value", "message"), [("-1", "-1.0: must be more than 0"), ("nan", "nan: must be more than")])
def test_an_amount_that_is_none_is_refused_in_a_line(write_study, monkeypatch, value, message):
    monkeypatch.setattr(sys, "argv", ["analyze", str(write_study(FIVE)), "--within", value])
    with pytest.raises(SystemExit, match=f"^--within={message}"):
        main()


def test_the_order_asked_for_is_that_of_the_printed_leaderboard_alone(write_study, capsys):
    content = analysis_of(write_study(FIVE), sort="ascending")
    assert content["best"]["config_id"] == "config_001"
    rows = [line.split()[0] for line in capsys.readouterr().out.splitlines() if "learning_rate=" in line]
    assert rows == ["0", "3", "1"]


def test_the_printed_leaderboard_ranks_configurations_by_the_mean_of_their_seeds(write_study, capsys):
    twice = [(params(1e-4), "completed", 6.0), (params(1e-4), "completed", 2.0)]  # 4.0 on average
    content = analysis_of(write_study([*twice, (params(2e-4), "completed", 5.0)]))
    assert content["best"]["config_id"] == "config_002"
    rows = [line.split()[:3] for line in capsys.readouterr().out.splitlines() if "learning_rate=" in line]
    assert rows == [["2", "1", "5"], ["0", "2", "4"]]  # first trial, seeds, reward


def test_a_trial_on_several_seeds_of_which_one_diverged_is_analysed_by_the_others(write_study, capsys):
    directory = write_study([(params(1e-4), "diverged", 0.0)])
    trial = directory / "trials" / "000"
    (trial / "result.yaml").unlink()
    TrialResult("diverged", 0, 42, seeds=[42, 43]).save(trial)
    for seed, status in ((42, "completed"), (43, "diverged")):
        (trial / f"seed_{seed}").mkdir()
        result = TrialResult(status, 0, seed, [seed], metrics=dict.fromkeys(METRICS, 7.0))
        result.save(trial / f"seed_{seed}")
    assert analysis_of(directory)["top_5_configs"][0]["without_value"] == {43: "diverged"}
    output = capsys.readouterr().out
    assert "1 of 2 seeds   7" in output and "one configuration on 1 of 2 seeds: episode_reward_mean 7" in output


def test_of_equal_trials_the_faster_to_the_goal_comes_first(write_study):
    directory = write_study([(params(1e-4), "completed", 1.0), (params(2e-4), "completed", 1.0)])
    for number, time_s in enumerate([3.0, 2.0]):
        metrics = dict.fromkeys(METRICS, 1.0) | {"time_to_goal_s": time_s}
        result = TrialResult(status="completed", trial=number, seed=42, metrics=metrics)
        (directory / "trials" / f"{number:03d}" / "result.yaml").unlink()
        result.save(directory / "trials" / f"{number:03d}")
    assert analysis_of(directory)["best"]["config_id"] == "config_001"


def test_the_best_are_exported_as_experiments(write_study):
    directory = write_study(FIVE)
    own, outdated = (directory / "analysis" / "experiment" / f"{name}.yaml" for name in ("mine", "top_5"))
    own.parent.mkdir(parents=True)
    for path in (own, outdated):
        path.touch()
    analyze(directory)
    names = sorted(path.name for path in (directory / "analysis" / "experiment").iterdir())
    assert names == ["best.yaml", "mine.yaml", "top_1.yaml", "top_2.yaml", "top_3.yaml"]  # a user's own file stays
    best = (directory / "analysis" / "experiment" / "best.yaml").read_text(encoding="utf-8")
    assert best.startswith("# @package _global_\n") and yaml.safe_load(best) == {"seed": 1}


@pytest.mark.parametrize("trials", [[], [(params(1e-4), "failed", 0.0)], [(params(1e-4), "completed", 1.0)]])
def test_a_study_of_no_or_one_completed_trial_is_analysed(write_study, trials):
    content = analysis_of(write_study(trials))
    assert len(content["top_5_configs"]) == content["trials"]["completed"]
    assert (content["best"] is None) == (content["trials"]["completed"] == 0)


def test_a_trial_with_nan_is_not_ranked_and_names_may_be_unicode(write_study):
    trials = [(params(1e-4), "failed", math.nan), (params(2e-4), "completed", 1.0)]
    content = analysis_of(write_study(trials, name="Läufe-für-später"))
    assert [config["config_id"] for config in content["top_5_configs"]] == ["config_001"]
    assert content["study"] == "Läufe-für-später"


def test_importance_finds_the_parameter_that_matters_with_an_interval_around_it(write_study):
    draw = random.Random(0)
    trials = []
    for _ in range(60):
        rate = 10 ** draw.uniform(-5, -2)
        reward = -((math.log10(rate) + 3.5) ** 2) + draw.gauss(0, 0.1)  # the network does not matter
        trials.append((params(rate, draw.choice(["small", "medium", "large"])), "completed", reward))
    content = analysis_of(write_study(trials))
    first, second = content["importance_ranking"]
    assert content["importance"]["reliability"] == "sufficient"
    assert first["parameter"] == "ppo.learning_rate"
    assert first["importance"] > 0.8 > second["importance"]
    assert first["importance"] + second["importance"] == pytest.approx(1, abs=1e-3)
    assert first["interval_90"][0] <= first["importance"] <= first["interval_90"][1]


def test_importance_is_reproducible(write_study):
    draw = random.Random(1)
    trials = [(params(10 ** draw.uniform(-5, -2)), "completed", draw.random()) for _ in range(30)]
    trials += [(params(1e-3, "small"), "completed", 0.5)]
    study = load_study(write_study(trials))
    ranked = study.rank("episode_reward_mean")
    assert measure_importance(ranked, "episode_reward_mean") == measure_importance(ranked, "episode_reward_mean")


def test_seeds_are_summed_up_as_replicates(write_study):
    space = {"seed": CategoricalDistribution([1, 2, 3, 4]), "network": CategoricalDistribution(["small", "large"])}
    trials = [({"seed": seed, "network": "small"}, "completed", float(seed)) for seed in (1, 2, 3, 4)]
    trials += [({"seed": 1, "network": "large"}, "completed", 7.0)]
    content = analysis_of(write_study(trials, space))
    (row,) = content["replicates"]  # one large network is no replicate
    assert row["network"] == "small" and row["seeds"] == [1, 2, 3, 4]
    assert row["episode_reward_mean"] == {"iqm": 2.5, "range": [1.0, 4.0]}  # the mean of 2 and 3


def test_the_interquartile_mean_is_the_mean_of_the_middle_half():
    assert compute_iqm([100.0, 1.0, 2.0, -50.0]) == 1.5
    assert compute_iqm([1.0, 2.0, 6.0]) == 3.0


def test_a_trial_at_a_computed_step_is_the_one_that_was_written(write_study):
    """Earlier versions trained at 0.9500000000000001, which Optuna refuses of a range that ends at 0.95."""
    space = {"ppo.gae_lambda": FloatDistribution(0.9, 0.95, step=0.05)}
    rows = [
        ({"ppo.gae_lambda": value}, "completed", reward) for value, reward in ((0.95, 1.0), (0.9, 2.0), (0.95, 4.0))
    ]
    directory = write_study(rows, space)
    with sqlite3.connect(directory / "study.db") as database:
        changed = database.execute("UPDATE trial_params SET param_value = ? WHERE trial_id = 3", (0.9 + 0.05,))
        assert changed.rowcount == 1
    record = yaml.safe_load((directory / "study.yaml").read_text(encoding="utf-8"))
    (directory / "study.yaml").write_text(
        yaml.safe_dump(record | {"default": {"ppo.gae_lambda": 0.9 + 0.05}}), encoding="utf-8"
    )
    study = load_study(directory)
    assert [trial.params["ppo.gae_lambda"] for trial in study.trials] == [0.95, 0.9, 0.95]
    verdict = Verdict(study, "episode_reward_mean")
    assert [(found.number, len(found.trials)) for found in verdict.best_first] == [(0, 2), (1, 1)]
    assert verdict.default == 0
    assert len(convert_to_optuna(verdict).trials) == 3


def test_a_directory_that_is_no_study_is_refused(tmp_path):
    with pytest.raises(StudyError, match="not the directory of a study"):
        analyze(tmp_path)


def test_a_learning_curve_without_its_columns_is_left_out_with_a_word_and_the_rest_is_analysed(write_study, caplog):
    directory = write_study(FIVE)
    (directory / "trials" / "001" / "progress.csv").write_text("step\n1\n", encoding="utf-8")
    assert analysis_of(directory)["best"]["config_id"] == "config_001"
    assert "trials/001/progress.csv cannot be read: no column 'env_steps'" in caplog.text


def deleted(trial):
    shutil.rmtree(trial)


def cut(name):
    def spoil(trial):
        content = (trial / name).read_bytes()
        (trial / name).write_bytes(content[: len(content) // 2].rstrip())  # in the middle of a line

    return spoil


def binary(name):
    return lambda trial: (trial / name).write_bytes(b"\x80\x00\xff\n")


def missing(name):
    return lambda trial: (trial / name).unlink()


def other_schema(trial):
    path = trial / "result.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("version: 1", "version: 2"), encoding="utf-8")


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (deleted, "result.yaml cannot be read: No such file or directory"),
        (cut("result.yaml"), "result.yaml cannot be read"),
        (binary("result.yaml"), "result.yaml cannot be read"),
        (other_schema, "result.yaml is not a result of schema version 1"),
        (missing("experiment.yaml"), "experiment.yaml cannot be read: No such file"),
        (cut("experiment.yaml"), "experiment.yaml cannot be read: it was cut short"),
        (missing(".hydra/config.yaml"), ".hydra/config.yaml cannot be read: No such file"),
        (binary(".hydra/config.yaml"), ".hydra/config.yaml cannot be read"),
    ],
)
def test_a_trial_whose_files_cannot_be_read_is_left_out_with_a_line_and_the_others_are_analysed(
    write_study, capsys, spoil, why
):
    directory = write_study(FIVE)
    spoil(directory / "trials" / "001")
    content = analysis_of(directory)
    assert [config["config_id"] for config in content["top_5_configs"]] == ["config_003", "config_000"]
    assert content["trials"]["completed"] == 2
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("left out: "))
    assert line.startswith(f"left out: {directory}/trials/001/") and why in line
    assert content["left_out"] == [line.removeprefix("left out: ")]


def test_of_a_trial_without_a_value_the_database_knows_enough(write_study):
    directory = write_study(FIVE)
    deleted(directory / "trials" / "002")  # diverged
    content = analysis_of(directory)
    assert content["trials"]["diverged"] == 1 and content["left_out"] == []


def test_a_trial_that_a_script_added_is_left_out_with_a_line(write_study, capsys):
    directory = write_study(FIVE)
    study = optuna.load_study(study_name=directory.name, storage=f"sqlite:///{directory}/study.db")
    study.add_trial(optuna.trial.create_trial(value=99.0, params=params(1e-3), distributions=SPACE))
    study.ask()  # and one that was left running
    assert analysis_of(directory)["best"]["config_id"] == "config_001"
    assert f"left out: {directory}/trials/005: no search trained it" in capsys.readouterr().out


def test_a_study_of_an_unknown_metric_is_refused(write_study):
    directory = write_study(FIVE)
    (directory / "study.yaml").write_text("study: hand-written\nmetric: speed\n", encoding="utf-8")
    with pytest.raises(StudyError, match="metric=speed: choose one of episode_reward_mean"):
        analyze(directory)


def test_trials_that_lack_the_metric_asked_for_are_counted_and_not_ranked(write_study):
    directory = write_study(FIVE)
    path = directory / "trials" / "001" / "result.yaml"
    path.write_text(
        path.read_text(encoding="utf-8").replace("  time_to_goal_s: 0.5", "  time_to_goal_s: .nan", 1), encoding="utf-8"
    )
    content = analysis_of(directory, metric="time_to_goal_s")
    assert [config["config_id"] for config in content["top_5_configs"]] == ["config_000", "config_003"]
    assert content["trials"]["completed"] == 3


def test_a_folder_that_cannot_be_written_ends_in_a_line(write_study, monkeypatch):
    directory = write_study(FIVE)
    (directory / "analysis").write_text("in the way", encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["analyze", str(directory)])
    with pytest.raises(SystemExit, match="analysis"):
        main()


def test_the_analysis_imports_no_torch_on_the_way(write_study):
    code = "import sys; from pathlib import Path; from vbot_train.analyze import analyze; analyze(Path(sys.argv[1]))"
    code += "; print([name for name in ('torch', 'mujoco', 'hydra', 'sklearn') if name in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code, write_study(FIVE)], text=True).splitlines()[-1] == "[]"
