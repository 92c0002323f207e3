"""A training seed that is lost costs its configuration the same rank, and is told in the same words, everywhere."""

import copy
import re
import sys

import pytest
import yaml
from optuna.distributions import IntDistribution
from standing import LATER, SPACE, add_trials, ended, number_trials, record_of, write_study

from vbot_train import analyze
from vbot_train.compare.__main__ import main as compare
from vbot_train.status.__main__ import main as status
from vbot_train.study.attributes import SEED, SEEDS
from vbot_train.training.metrics import METRICS
from vbot_train.training.result import TrialResult

CURVE = "env_steps,success_rate,reward\n100,0.0,nan\n200,0.5,2.0\n"
TOP, NEXT = {"ppo.learning_rate": 1e-3, "network": "small"}, {"ppo.learning_rate": 2e-3, "network": "small"}
BEST_VALUES, NEXT_VALUES = [9.0, None, 7.0], [2.0, 1.0, 3.0]  # on seeds 1, 2 and 3
OVER = "2 of 3 seeds"


def trial_on(seed, value, params, *, space=SPACE, **attributes):
    trial = ended(value=value, status="diverged" if value is None else "completed", params=params, space=space)
    for key, content in {SEED: seed, **attributes}.items():
        trial.set_user_attr(key, content)
    return trial


def by_seed(configurations, **options):
    return [
        trial_on(seed, value, params, **options)
        for params, values in configurations
        for seed, value in zip((1, 2, 3), values, strict=True)
    ]


@pytest.fixture
def write_files(config):
    """What trials leave behind, the diverged ones too."""

    def write(folder, trials):
        for number, trial in enumerate(trials):
            directory, seed = folder / f"{number:03d}", trial.user_attrs[SEED]
            (directory / ".hydra").mkdir(parents=True)
            content = copy.deepcopy(config) | {"seed": seed}
            (directory / ".hydra" / "config.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
            (directory / "experiment.yaml").write_text("seed: 1\n", encoding="utf-8")
            (directory / "progress.csv").write_text(CURVE, encoding="utf-8")
            metrics = {} if trial.value is None else dict.fromkeys(METRICS, 0.5) | {"episode_reward_mean": trial.value}
            TrialResult(trial.user_attrs["status"], number, seed, [seed], metrics, env_steps=200).save(directory)

    return write


def searched_seeds(directory, configurations, write_files):
    """``-m seed=1,2,3``: the training seed is a hyperparameter like any other."""
    space = SPACE | {"seed": IntDistribution(1, 3)}
    points = [
        ({**params, "seed": seed}, seed, value) for params, v in configurations for seed, value in enumerate(v, 1)
    ]
    trials = [trial_on(seed, value, params, space=space) for params, seed, value in points]
    write_files(directory / "trials", trials)
    write_study(directory, trials, files=False)


def several_seeds(directory, configurations, write_files):
    """``search.seeds_per_configuration=3``."""
    trials = by_seed(configurations, **{SEEDS: [1, 2, 3]})
    write_files(directory / "trials", trials)
    write_study(directory, trials, files=False, config=record_of(seeds_per_configuration=3).config)


def confirming(directory, configurations, write_files):
    """``search.confirm.seeds=3``: the search itself trained each on another seed."""
    screened = [trial_on(42, values[0], params) for params, values in configurations]
    again = by_seed([({"trial": number}, values) for number, (_, values) in enumerate(configurations)], space=LATER)
    write_files(directory / "trials", screened)
    write_files(directory / "confirm", again)
    write_study(directory, screened, files=False, confirm={"top_k": 2, "seeds": [1, 2, 3]}, max_trials=2)
    add_trials(directory, f"{directory.name}/confirm", number_trials(again))


@pytest.fixture(params=[searched_seeds, several_seeds, confirming])
def say(request, tmp_path, write_files, monkeypatch, capsys):
    """``say(values_of_the_first, values_of_the_second)``: what every command says of a study of two configurations."""

    def run(command, *arguments):
        monkeypatch.setattr(sys, "argv", ["command", *map(str, arguments)])
        command()
        return capsys.readouterr().out

    def say_all(first, second):
        monkeypatch.setenv("COLUMNS", "250")
        directory = tmp_path / "s"
        request.param(directory, [(TOP, first), (NEXT, second)], write_files)
        table = run(analyze.main, directory)
        content = yaml.safe_load((directory / "analysis" / "hyperparameter_importance.yaml").read_text("utf-8"))
        report = (directory / "analysis" / "report.html").read_text("utf-8")
        return {
            "leaderboard": table,
            "report": report,
            "file": content,
            "status": run(status, directory),
            "compare": run(compare, directory, directory / "trials" / "000"),
        }

    return say_all


def rates_in(text):
    """The learning rates in a text, in order, each once."""
    return list(dict.fromkeys(re.findall(r"learning_rate=(0\.00\d)", text)))


def test_a_configuration_that_has_lost_a_seed_ranks_below_a_whole_one_everywhere(say):
    said = say(BEST_VALUES, NEXT_VALUES)
    assert rates_in(said["leaderboard"])[:2] == rates_in(said["report"])[:2] == ["0.002", "0.001"]
    assert [row["ppo.learning_rate"] for row in said["file"]["top_5_configs"]] == [2e-3, 1e-3]
    assert said["file"]["best"]["config_id"] == said["file"]["top_5_configs"][0]["config_id"]
    (best,) = [line for line in said["status"].splitlines() if line.startswith("best")]
    assert "learning_rate=0.002" in best and OVER not in best
    assert f"by episode_reward_mean: {said['file']['best']['config_id']}, " in said["compare"]
    for place in ("leaderboard", "report"):
        assert OVER in said[place], place
    lost = told_of(said["file"]["top_5_configs"][1])
    assert (lost["over"], lost["without_value"]) == (OVER, {2: "diverged"})


def test_two_of_three_seeds_is_said_everywhere_of_a_winner_that_has_lost_one(say):
    said = say(BEST_VALUES, [2.0, 1.0, None])
    for place in ("leaderboard", "report", "status", "compare"):
        assert OVER in said[place], place
    assert rates_in(said["leaderboard"])[:2] == rates_in(said["report"])[:2] == ["0.001", "0.002"]
    best, other = said["file"]["top_5_configs"]
    assert said["file"]["best"]["config_id"] == best["config_id"] == "config_000"
    assert [told_of(row)["over"] for row in (best, other)] == [OVER, OVER]
    assert "seed 2 diverged" in said["compare"]
    assert "config_000" in said["compare"]


def told_of(row):
    """What the analysis file says of a configuration's seeds: as the search saw it, or confirmed."""
    return row["confirmed"] or row
