"""Evaluating a run that was trained, at smoke size, on the command line."""

import json
import os
import subprocess
import sys
from dataclasses import asdict

import pytest
import yaml
from hydra.errors import CompactHydraException

from vbot_train.config.composition import ConfigError, compose_config
from vbot_train.evaluate import build_parser, run
from vbot_train.evaluation.assessment import assess, build_outcomes_table, build_reward_table
from vbot_train.evaluation.outcomes import Cell
from vbot_train.evaluation.recorded import find_subject
from vbot_train.training.result import TrialResult
from vbot_train.training.train import train

TINY = ["training=smoke", "simulation.threads=1", "network=small", "env.episode_length_s=2", "training.env_steps=1536"]
EPISODES = 16  # of the evaluation that training=smoke reports


@pytest.fixture(scope="module")
def tiny_run(tmp_path_factory):
    """A finished run of two updates and episodes of 2 s."""
    directory = tmp_path_factory.mktemp("run")
    config = compose_config([*TINY, "ppo.learning_rate=1e-3"])
    (directory / ".hydra").mkdir()
    (directory / ".hydra" / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    train(config, directory)
    return directory


def evaluated(capsys, *arguments):
    """Run a command line in this process. Returns what it prints."""
    run(build_parser().parse_intermixed_args(list(map(str, arguments))))
    return capsys.readouterr().out


def test_the_best_checkpoint_has_the_metrics_of_the_result_and_its_rewards_add_up(tiny_run):
    result = TrialResult.load(tiny_run)
    found, _ = assess(find_subject(tiny_run, None, []), EPISODES)
    assert found.metrics | {"env_steps_to_success": None} == result.metrics
    assert found.reward_terms == result.reward_terms
    assert sum(found.reward_terms.values()) == pytest.approx(found.metrics["episode_reward_mean"], abs=1e-5)
    assert found.seed == compose_config()["evaluation"]["seed"]


def test_the_last_checkpoint_has_the_last_metrics(tiny_run):
    result = TrialResult.load(tiny_run)
    found, _ = assess(find_subject(tiny_run / "checkpoints" / "last.pt", None, []), result.last_episodes)
    assert found.metrics | {"env_steps_to_success": None} == result.last_metrics


def test_the_command_line_writes_the_numbers_that_it_prints(tiny_run, tmp_path, capsys):
    out = tmp_path / "found.json"
    keys = ["env.spawn.max_radius_m=9", "env.episode_length_s=0.1"]
    printed = evaluated(capsys, tiny_run, "--episodes", 8, "--env", "section001_far", "--json", out, *keys)
    found = json.loads(out.read_text(encoding="utf-8"))
    assert found == json.loads(json.dumps(asdict(assess(find_subject(tiny_run, "section001_far", keys), 8)[0])))
    assert f"{found['metrics']['final_distance_m']:g}" in printed
    everything = found["histogram"][0]
    assert (everything["episodes"], everything["counts"]["timed_out"]) == (8, 8)
    bins = [cell["distance_m"] for cell in found["histogram"] if cell["bearing_deg"] is None]
    assert bins == [None, [8.0, 8.25], [8.25, 8.5], [8.5, 8.75], [8.75, 9.0]]


def test_a_checkpoint_meets_the_same_randomized_robots_each_time(tiny_run):
    plain = assess(find_subject(tiny_run, None, []), 8)[0]
    once, again = (assess(find_subject(tiny_run, "section001_robust", ["env.episode_length_s=2"]), 8)[0] for _ in "ab")
    assert once.metrics == again.metrics and once.reward_terms == again.reward_terms
    assert once.metrics != plain.metrics
    starts = [[cell.episodes for cell in found.histogram] for found in (plain, once)]
    assert starts[0] == starts[1]


def test_another_seed_starts_elsewhere(tiny_run, tmp_path, capsys):
    rewards, short = set(), ["--episodes", 2, "env.episode_length_s=0.1"]
    for seed in ([], ["--seed", 7], ["evaluation.seed=7"]):
        evaluated(capsys, tiny_run, "--json", tmp_path / "found.json", *short, *seed)
        rewards.add(json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))["metrics"]["episode_reward_mean"])
    assert len(rewards) == 2


def test_a_trial_on_several_seeds_says_which_one_it_is(tiny_run, tmp_path, capsys):
    (tmp_path / ".hydra").symlink_to(tiny_run / ".hydra")
    for name in ("seed_42", "seed_43"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "checkpoints").symlink_to(tiny_run / "checkpoints")
    printed = evaluated(capsys, tmp_path, "--episodes", 1, "env.episode_length_s=0.02")
    assert f"{tmp_path}: trained on several seeds (seed_42, seed_43): this is seed_42" in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--episodes", "0"], "--episodes=0: must be at least 1"),
        (["--video-episodes", "0"], "--video-episodes=0: must be at least 1"),
        (["--seed", "-1"], "--seed=-1: must be at least 0"),
        (["--seed", "4294967296"], "--seed=4294967296: must be at least 0 and at most 4294967295"),
        (["--episodes", "1" * 320], "must be at least 1 and at most 2147483647"),
        (["--json", "no/such/found.json"], "--json=no/such/found.json: there is no folder no/such"),
        (["--video", "no/such/film.mp4"], "--video=no/such/film.mp4: there is no folder no/such"),
        (["--video", "film.avi"], "--video=film.avi: must end in .mp4"),
    ],
)
def test_a_command_line_that_cannot_end_well_is_refused_at_once(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=message):
        run(build_parser().parse_intermixed_args(["nowhere", *arguments]))


def command_line(tmp_path, *arguments, **env):
    command = [sys.executable, "-m", "vbot_train.evaluate", *arguments]
    return subprocess.run(command, cwd=tmp_path, env=os.environ | env, capture_output=True, text=True)


def test_a_driver_that_mujoco_cannot_load_is_refused_in_a_line(tmp_path):
    done = command_line(tmp_path, "nowhere", "--video", "film.mp4", MUJOCO_GL="nonsense")
    assert done.returncode == 1
    assert "MuJoCo cannot draw here with MUJOCO_GL=nonsense" in done.stderr and "Traceback" not in done.stderr


def test_what_is_refused_imports_neither_torch_nor_mujoco(tmp_path):
    code = (
        "import sys, vbot_train.evaluate as e\n"
        "try: e.main()\n"
        "except SystemExit as end: print(end, [name for name in ('torch', 'mujoco') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code, "nowhere"], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.startswith("nowhere: not the directory of a run") and done.stdout.endswith("[]\n")


def test_the_checkpoint_of_another_network_is_refused(tiny_run, tmp_path):
    (tmp_path / ".hydra").mkdir()
    (tmp_path / ".hydra" / "config.yaml").write_text(
        yaml.safe_dump(compose_config([*TINY, "network=large"])), encoding="utf-8"
    )
    (tmp_path / "checkpoints").symlink_to(tiny_run / "checkpoints")
    with pytest.raises(ConfigError, match="not a checkpoint of this agent"):
        assess(find_subject(tmp_path, None, []), 1)


def columns(table):
    return [list(column.cells) for column in table.columns]


def test_the_outcomes_are_shown_as_counts_and_shares_without_starts_that_did_not_occur():
    counts = {"reached": 3, "fell": 1, "left": 0, "timed_out": 0}
    empty = Cell((2.0, 3.5), (135.0, 180.0), 0, dict.fromkeys(counts, 0))
    shown = columns(
        build_outcomes_table([Cell(None, None, 4, counts), Cell((2.0, 3.5), (45.0, 135.0), 4, counts), empty])
    )
    assert shown[:3] == [["all", "2-3.5"], ["all", "side 45-135"], ["4", "4"]]
    assert shown[3:5] == [["3  75%", "3  75%"], ["1  25%", "1  25%"]]


def test_the_reward_terms_are_shown_by_magnitude_above_their_sum():
    table = build_reward_table({"approach": 1.5, "torques": -4.0, "boundary": 0.0})
    assert columns(table) == [["torques", "approach", "boundary"], ["-4.000", "1.500", "0.000"]]
    assert table.columns[1].footer == "-2.500"


@pytest.mark.parametrize("seed", [42, 1_000_003])  # that of the training, and that of the choice of the checkpoint
def test_starts_that_the_run_has_seen_are_refused(tiny_run, seed):
    with pytest.raises(ConfigError, match="evaluation"):
        run(build_parser().parse_intermixed_args([str(tiny_run), "--seed", str(seed)]))


def test_an_environment_of_ones_own_is_found_in_its_folder(tiny_run, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("vbot_train.config.folders.OwnFolders.folders", [])
    (tmp_path / "env").mkdir()
    option = "defaults:\n  - section001\n  - _self_\nspawn:\n  max_radius_m: 3.0\n"
    (tmp_path / "env" / "near.yaml").write_text(option, encoding="utf-8")
    assert "env=near" in evaluated(
        capsys, tiny_run, "--episodes", 4, "--env", "near", "--config-dir", tmp_path, "env.episode_length_s=0.1"
    )


def test_an_environment_of_ones_own_that_cannot_be_read_is_told_in_a_line(tiny_run, tmp_path, monkeypatch):
    monkeypatch.setattr("vbot_train.config.folders.OwnFolders.folders", [])
    (tmp_path / "env").mkdir()
    (tmp_path / "env" / "near.yaml").write_text("spawn:\n\tmax_radius_m: 3.0\n", encoding="utf-8")
    line = [str(tiny_run), "--env", "near", "--config-dir", str(tmp_path)]
    with pytest.raises(CompactHydraException, match=r"near.yaml, line 2: begins with a tab"):
        run(build_parser().parse_intermixed_args(line))
