"""One training run, at smoke size: what it writes, that it repeats, how it fails."""

import csv
import math
from dataclasses import replace

import pytest
import torch
import yaml

from vbot_train.agent.networks import Spaces
from vbot_train.agent.ppo import build_agent, load_checkpoint
from vbot_train.config.composition import ConfigError, compose_config
from vbot_train.config.validation import compose_validated
from vbot_train.env.navigation import NavigationEnv
from vbot_train.evaluation.assessment import assess
from vbot_train.evaluation.recorded import find_subject
from vbot_train.training.metrics import METRICS
from vbot_train.training.result import TrialResult, TrialStopped
from vbot_train.training.selection import Score
from vbot_train.training.stop import StopRequest
from vbot_train.training.train import train

SMOKE = ["training=smoke", "simulation.threads=1"]


@pytest.fixture(scope="module")
def smoke_run(tmp_path_factory):
    """A finished smoke run: its directory and its result."""
    directory = tmp_path_factory.mktemp("run")
    config = compose_config([*SMOKE, "ppo.learning_rate=2e-4", "network=small", "seed=5"])
    (directory / ".hydra").mkdir()
    (directory / ".hydra" / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    return directory, train(config, directory)


def test_a_run_leaves_result_progress_events_and_checkpoints(smoke_run):
    directory, result = smoke_run
    assert result.status == "completed"
    assert TrialResult.load(directory) == result
    assert result.metrics.keys() == METRICS.keys()
    assert (result.env_steps, result.evaluation_env_steps) == (4608, (2 * 8 + 16) * 500)  # selection and final episodes
    with (directory / "progress.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    steps = [768, 1536, 2304, 3072, 3840, 4608]  # 32 robots x 24 control steps
    assert [int(row["env_steps"]) for row in rows] == steps
    assert [row["selection_success_rate"] != "" for row in rows] == [False, False, True, False, False, True]
    assert list(directory.glob("events.out.tfevents.*"))
    assert {path.name for path in (directory / "checkpoints").iterdir()} == {"best.pt", "last.pt"}


def test_the_applied_settings_are_those_of_the_agent_and_the_environment(smoke_run):
    applied = smoke_run[1].applied
    assert applied["learning_rate"] == 2e-4
    assert applied["policy_hidden_layer_sizes"] == applied["value_hidden_layer_sizes"] == [128, 64]
    assert (applied["num_envs"], applied["seed"]) == (32, 5)
    assert applied["reward"]["termination"] == compose_config()["reward"]["termination"]["weight"]


@pytest.mark.parametrize(("schedule", "last"), [("none", 1e-3), ("linear", 1e-5)])
def test_the_learning_rate_schedule_ends_where_it_says(schedule, last):
    ppo = compose_validated([f"ppo.learning_rate_schedule={schedule}", "ppo.learning_rate=1e-3"]).ppo
    agent = build_agent(ppo, [16], Spaces.of(54, 12), num_envs=4, env_steps=4 * 24 * 3)  # 3 updates of 5 epochs
    for _ in range(15):
        agent.optimizer.step()
        if agent.scheduler is not None:
            agent.scheduler.step()
    assert agent.optimizer.param_groups[0]["lr"] == pytest.approx(last)


def test_the_same_seed_gives_identical_metrics_and_another_seed_others(smoke_run, tmp_path):
    config = compose_config([*SMOKE, "ppo.learning_rate=2e-4", "network=small"])
    for name in ("same", "other"):
        (tmp_path / name).mkdir()
    same = train(config | {"seed": 5}, tmp_path / "same")
    other = train(config | {"seed": 6}, tmp_path / "other")
    assert replace(same, wall_time_s=0) == replace(smoke_run[1], wall_time_s=0)
    assert other.metrics != same.metrics


def test_training_ends_at_the_first_evaluation_that_is_good_enough(tmp_path):
    result = train(compose_config([*SMOKE, "training.stop_at_success=0"]), tmp_path)
    assert (result.status, result.env_steps, result.best_env_steps) == ("completed", 2304, 2304)  # the first of two
    assert len((tmp_path / "progress.csv").read_text(encoding="utf-8").splitlines()) == 1 + 3
    assert result.last_metrics == result.metrics


def test_an_absurd_learning_rate_ends_as_diverged(tmp_path):
    result = train(compose_config([*SMOKE, "ppo.learning_rate=1e3"]), tmp_path)
    assert result.status == "diverged"
    assert "largest action is" in result.cause
    assert TrialResult.load(tmp_path).get_objective("episode_reward_mean") is None


def test_a_nan_in_the_reward_ends_as_diverged(tmp_path, monkeypatch):
    monkeypatch.setattr("vbot_train.env.navigation.NavigationEnv.step", _with_nan_reward(NavigationEnv.step))
    result = train(compose_config(SMOKE), tmp_path)
    assert result.status == "diverged"
    assert "DivergedError" in (tmp_path / "error.txt").read_text(encoding="utf-8")


def test_a_run_that_is_stopped_for_good_says_where_it_was(tmp_path, monkeypatch):
    def stopped(self, action):
        raise TrialStopped("timeout", "so it was")

    monkeypatch.setattr("vbot_train.env.navigation.NavigationEnv.step", stopped)
    result = train(compose_config(SMOKE), tmp_path)
    assert (result.status, result.cause) == ("timeout", "so it was")
    assert (tmp_path / "error.txt").exists()


def _with_nan_reward(step):
    def poisoned(self, action):
        outcome = step(self, action)
        outcome.reward[0] = torch.nan
        return outcome

    return poisoned


def test_an_unexpected_error_is_recorded_as_failed_and_raised(tmp_path, monkeypatch):
    def broken(self, action):
        raise RuntimeError("the physics is on fire")

    monkeypatch.setattr("vbot_train.env.navigation.NavigationEnv.step", broken)
    with pytest.raises(RuntimeError):
        train(compose_config(SMOKE), tmp_path)
    result = TrialResult.load(tmp_path)
    assert (result.status, result.cause) == ("failed", "RuntimeError: the physics is on fire")
    assert "Traceback" in (tmp_path / "error.txt").read_text(encoding="utf-8")


def test_a_result_is_never_overwritten(smoke_run):
    with pytest.raises(ConfigError, match=r"already holds the result\.yaml"):
        train(compose_config(SMOKE), smoke_run[0])


@pytest.fixture
def first_is_best(monkeypatch):
    """The first held-out evaluation's checkpoint is kept, whatever comes later."""
    monkeypatch.setattr(Score, "may_equal", lambda score, best: best.value == -math.inf)


TWO = [*SMOKE, "network=small", "training.evaluations=2", "training.evaluation_episodes=40"]  # 8 selection episodes


def test_a_last_checkpoint_that_is_not_the_best_is_evaluated_on_a_quarter_of_the_episodes(tmp_path, first_is_best):
    config = compose_config(TWO)
    (tmp_path / ".hydra").mkdir()
    (tmp_path / ".hydra" / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    result = train(config, tmp_path)
    assert (result.best_env_steps, result.last_episodes) == (2304, 10)
    assert result.evaluation_env_steps == (2 * 8 + 10 + 40) * 500
    never = {"env_steps_to_success": None}
    best, _ = assess(find_subject(tmp_path, None, []), 40)
    last, _ = assess(find_subject(tmp_path / "checkpoints" / "last.pt", None, []), 10)
    assert (result.metrics, result.last_metrics) == (best.metrics | never, last.metrics | never)


def test_a_last_checkpoint_that_is_the_best_is_evaluated_once_on_all_episodes(smoke_run):
    _, result = smoke_run
    assert (result.best_env_steps, result.last_episodes) == (4608, 16)
    assert result.last_metrics == result.metrics


@pytest.mark.parametrize("after", [1, 499, 500, 999])
def test_both_evaluations_at_the_end_stop_before_the_next_control_step(tmp_path, monkeypatch, first_is_best, after):
    stop, steps = StopRequest(), []
    step = NavigationEnv.step

    def counted(self, action):
        if self.num_envs in (10, 40):  # the last checkpoint's evaluation, then the best one's
            steps.append(self.num_envs)
        if len(steps) == after:
            stop.stop("timeout", "too long")
        return step(self, action)

    monkeypatch.setattr(NavigationEnv, "step", counted)
    result = train(compose_config(TWO), tmp_path, stop=stop)
    assert (result.status, len(steps)) == ("timeout", after)


def test_training_starts_from_a_run_and_keeps_its_own_learning_rate(smoke_run, tmp_path):
    config = compose_config([*SMOKE, "network=small", f"init_from={smoke_run[0]}", "ppo.learning_rate=7e-4"])
    assert train(config, tmp_path).applied["learning_rate"] == 7e-4


def test_a_checkpoint_of_other_networks_or_with_code_in_it_is_refused(smoke_run, tmp_path):
    agent = build_agent(compose_validated().ppo, [16], Spaces.of(54, 12), num_envs=4, env_steps=1000)
    with pytest.raises(ConfigError, match="not a checkpoint of this agent"):
        load_checkpoint(agent, smoke_run[0] / "checkpoints" / "best.pt")
    evil = tmp_path / "evil.pt"
    torch.save({"policy": _Exploit()}, evil)
    with pytest.raises(ConfigError, match="not a checkpoint of this agent"):
        load_checkpoint(agent, evil)


class _Exploit:
    """Unpickling it would run code."""

    def __reduce__(self):
        return (exec, ("raise SystemExit('code in a checkpoint was run')",))
