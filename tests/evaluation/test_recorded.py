"""Which checkpoint and which config an evaluation is about."""

from pathlib import Path

import pytest
import yaml

from vbot_train.config.composition import ConfigError, compose_config
from vbot_train.config.tasks import Spawn
from vbot_train.config.validation import compose_validated
from vbot_train.evaluation.recorded import find_subject


def record(directory, *checkpoints, **changes):
    """Lay out a run's record and its checkpoints, which stay empty."""
    (directory / ".hydra").mkdir(parents=True)
    (directory / ".hydra" / "config.yaml").write_text(yaml.safe_dump(compose_config() | changes), encoding="utf-8")
    for checkpoint in checkpoints:
        (directory / checkpoint).parent.mkdir(parents=True, exist_ok=True)
        (directory / checkpoint).touch()
    return directory


@pytest.fixture
def run_dir(tmp_path):
    return record(tmp_path / "run", "checkpoints/best.pt", "checkpoints/last.pt", init_from="no/longer/there")


def test_a_run_stands_for_its_best_checkpoint_and_a_file_for_itself(run_dir):
    assert find_subject(run_dir, None, []).policy == run_dir / "checkpoints" / "best.pt"
    last = run_dir / "checkpoints" / "last.pt"
    subject = find_subject(last, None, [])
    assert subject.policy == last
    assert subject.config.env == compose_validated().env


def test_a_checkpoint_is_found_from_its_own_folder(run_dir, monkeypatch):
    monkeypatch.chdir(run_dir)
    assert find_subject(Path("checkpoints/last.pt"), None, []).config.env == compose_validated().env


def test_of_a_trial_on_several_seeds_the_first_is_taken_and_named(tmp_path):
    trial = record(tmp_path, *(f"seed_{seed}/checkpoints/best.pt" for seed in (9, 10, 11)))
    subject = find_subject(trial, None, [])
    assert subject.policy == trial / "seed_9" / "checkpoints" / "best.pt"
    assert subject.notes == ("trained on several seeds (seed_9, seed_10, seed_11): this is seed_9",)
    chosen = find_subject(trial / "seed_10", None, [])
    assert chosen.policy == trial / "seed_10" / "checkpoints" / "best.pt"
    assert (chosen.notes, chosen.config) == ((), subject.config)


def test_the_environment_and_single_keys_of_it_can_be_others(run_dir):
    overrides = ["env.spawn.max_radius_m=10", "env.goal_radius_m=2.5e-1", "evaluation.seed=7"]
    config = find_subject(run_dir, "section001_far", overrides).config
    assert config.env.spawn == Spawn(min_radius_m=8.0, max_radius_m=10, joint_noise_rad=0.05)
    assert (config.env.goal_radius_m, config.evaluation.seed) == (0.25, 7)
    assert config.reward == compose_validated().reward


def test_a_run_from_before_robots_could_be_randomized_is_one_without_randomization(run_dir):
    recorded = run_dir / ".hydra" / "config.yaml"
    config = yaml.safe_load(recorded.read_text(encoding="utf-8"))
    del config["env"]["randomization"]
    recorded.write_text(yaml.safe_dump(config), encoding="utf-8")
    assert find_subject(run_dir, None, []).config.env == compose_validated().env
    robust = find_subject(run_dir, "section001_robust", ["env.randomization.payload_kg=[2,3]"]).config.env
    as_asked = compose_validated(["env=section001_robust", "env.randomization.payload_kg=[2,3]"])
    assert robust.randomization == as_asked.env.randomization


def test_keys_of_a_run_that_no_longer_exist_are_ignored_and_named(run_dir):
    recorded = run_dir / ".hydra" / "config.yaml"
    config = yaml.safe_load(recorded.read_text(encoding="utf-8"))
    config["env"]["standard_env_steps"] = 5000
    config["reward"]["since_gone"] = {"weight": 1.0, "sigma_m": 2.0}
    config["training"]["since_gone"] = 1  # an evaluation reads none of this group
    recorded.write_text(yaml.safe_dump(config), encoding="utf-8")
    subject = find_subject(run_dir, None, [])
    line = "its config has keys that no longer exist, which are ignored: env.standard_env_steps, reward.since_gone"
    assert subject.notes == (line,)
    assert subject.config.env == compose_validated().env


def test_a_run_from_a_gpu_is_evaluated_where_there_is_none_if_it_is_told_how(tmp_path, monkeypatch):
    monkeypatch.setattr("vbot_train.config.checks.count_gpus", lambda: 0)
    run = record(tmp_path, "checkpoints/best.pt", simulation=compose_config(["simulation=warp"])["simulation"])
    with pytest.raises(ConfigError, match=r"there is no NVIDIA GPU here; simulation\.device=cpu runs it slowly"):
        find_subject(run, None, [])
    for override in ("simulation.device=cpu", "simulation.backend=mujoco"):
        find_subject(run, None, [override])


@pytest.mark.parametrize("recorded", [{"backend": "mujoco", "threads": 1}, {"threads": 1}])
def test_a_run_from_mujoco_can_be_evaluated_on_warp(tmp_path, recorded):
    pytest.importorskip("mujoco_warp")
    run = record(tmp_path, "checkpoints/best.pt", simulation=recorded)
    assert find_subject(run, None, []).config.simulation.backend == "mujoco"
    subject = find_subject(run, None, ["simulation.backend=warp", "simulation.device=cpu"])
    option = compose_validated(["simulation=warp", "simulation.device=cpu", "simulation.threads=1"]).simulation
    assert subject.config.simulation == option


@pytest.mark.parametrize(
    ("env_option", "overrides", "message"),
    [
        ("moon", [], "--env=moon: no such option, choose one of section001, section001_far, section001_robust"),
        (None, ["ppo.learning_rate=1"], "ppo.learning_rate=1: an evaluation changes env.KEY=VALUE, "),
        (None, ["env=section001"], "env=section001: an evaluation changes"),
        (None, ["env.goal_radius_m"], "env.goal_radius_m: an evaluation changes"),
        (None, ["env.wind=3"], "env.wind=3: no such key"),
        (None, ["env.spawn={}"], "env.spawn={}: change one value at a time"),
        (None, ["env.spawn.max_radius_m=[1"], r"env.spawn.max_radius_m=\[1: not a value"),
        (None, ["env.spawn.max_radius_m=${wind}"], "not a value"),
        (None, ["env.spawn.max_radius_m=far"], "env.spawn.max_radius_m=far: must be a number"),
        (None, ["env.spawn.max_radius_m=13"], "env.spawn.max_radius_m=13: must lie on the platform"),
        (None, ["evaluation.seed=42"], "seed=42: is one of the evaluation's seeds"),
    ],
)
def test_an_environment_that_cannot_be_is_refused(run_dir, env_option, overrides, message):
    with pytest.raises(ConfigError, match=message):
        find_subject(run_dir, env_option, overrides)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not the directory of a run .*holds no config"),
        ("- 1", "not the directory of a run .*holds no config"),
        ("3", "not the directory of a run .*cannot be read"),
        ("env: 3", "^env=3: must have the keys episode_length_s, "),
        ("seed: 4", "^env: is missing$"),
    ],
)
def test_a_damaged_record_is_told_in_a_line(run_dir, text, message):
    (run_dir / ".hydra" / "config.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=message) as error:
        find_subject(run_dir, None, [])
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("group", ["env", "simulation", "reward", "evaluation"])
def test_a_run_whose_record_lacks_a_group_is_refused(run_dir, group):
    recorded = run_dir / ".hydra" / "config.yaml"
    config = yaml.safe_load(recorded.read_text(encoding="utf-8"))
    del config[group]
    recorded.write_text(yaml.safe_dump(config), encoding="utf-8")
    with pytest.raises(ConfigError, match=f"^{group}: is missing$"):
        find_subject(run_dir, None, [])


def test_a_run_without_a_checkpoint_whose_result_cannot_be_read_is_told_in_a_line(run_dir):
    (run_dir / "checkpoints" / "best.pt").unlink()
    (run_dir / "result.yaml").write_text("schema_version: 1\nstat", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"has no checkpoint .*result\.yaml cannot be read") as error:
        find_subject(run_dir, None, [])
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "not the directory of a run"),
        ("nowhere", "not the directory of a run"),
        ("bare", "has no checkpoint"),
        ("bare/.hydra/config.yaml", "lies not in the checkpoints/ of a run"),
    ],
)
def test_what_is_no_run_is_refused(tmp_path, name, message):
    record(tmp_path / "bare")
    with pytest.raises(ConfigError, match=message):
        find_subject(tmp_path / name, None, [])
