"""Exporting a run that was trained, at smoke size, and evaluating what was written."""

import json
import shutil
import subprocess
import sys
from functools import partial

import pytest
import torch
import yaml

from vbot_train import evaluate, export
from vbot_train.agent.ppo import compute_mean_action
from vbot_train.config.composition import ROOT, ConfigError, compose_config
from vbot_train.env.environment import build_env
from vbot_train.evaluation import held_out
from vbot_train.evaluation.assessment import assess
from vbot_train.evaluation.exported import open_session, read_metadata
from vbot_train.evaluation.policies import load_agent, load_policy
from vbot_train.evaluation.recorded import find_subject
from vbot_train.training.result import TrialResult
from vbot_train.training.train import train

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

TINY = ["training=smoke", "simulation.threads=1", "network=small", "env.episode_length_s=2"]
NEAR = ["env.goal_radius_m=3", "env.inner_fence_radius_m=3"]  # some robots start inside: no policy must walk
MANIFEST = {  # field names of MotrixLab's motrix-deploy/v1
    "robot": {
        "base_link_name",
        "joint_names",
        "default_joint_position",
        "position_lower",
        "position_upper",
        "torque_limit",
    },
    "source": {"framework", "run_id", "checkpoint"},
}


@pytest.fixture(scope="module")
def tiny_run(tmp_path_factory):
    """A finished run with episodes of 2 s."""
    return record_run(tmp_path_factory.mktemp("run"))


def record_run(directory):
    config = compose_config([*TINY, "ppo.learning_rate=1e-3"])
    (directory / ".hydra").mkdir()
    write_config(directory, config)
    train(config, directory)
    return directory


def write_config(directory, config):
    (directory / ".hydra" / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")


@pytest.fixture(scope="module")
def policy(tiny_run):
    """That run's policy, exported."""
    export_to(tiny_run, tiny_run / "policy.onnx")
    return tiny_run / "policy.onnx"


def export_to(*arguments):
    export.run(export.build_parser().parse_args(list(map(str, arguments))))


def evaluated(*arguments):
    evaluate.run(evaluate.build_parser().parse_intermixed_args(list(map(str, arguments))))


class Recorder:
    """A policy that keeps the observations that it is given."""

    def __init__(self, policy):
        self.policy, self.observations = policy, []

    def __call__(self, observation):
        self.observations.append(observation)
        return self.policy(observation)


def test_the_graph_gives_the_actions_of_the_checkpoint(tiny_run, policy):
    subject = find_subject(tiny_run, None, [])
    env = build_env(subject.config, num_envs=4, seed=0)
    agent = load_agent(subject.policy, subject.config, env)
    scaler = agent._observation_preprocessor
    assert scaler.running_mean.abs().max() > 0.1 and (scaler.running_variance - 1).abs().max() > 0.1
    recorder = Recorder(partial(compute_mean_action, agent))
    held_out.evaluate(env, recorder, 7)
    seen = torch.cat(recorder.observations)  # 400
    exported = load_policy(policy, subject.config, env)
    for batch in (seen, seen[:1], 1e6 * seen[:3]):  # of any size, and beyond what the scaler clips
        assert (compute_mean_action(agent, batch) - exported(batch)).abs().max() <= 1e-5
    assert exported(seen).abs().max() > 1e-3


def test_the_line_says_by_how_much_10_000_actions_differ(tiny_run, tmp_path, capsys):
    export_to(tiny_run, tmp_path / "policy.onnx")
    said = capsys.readouterr().out
    assert f"{tmp_path / 'policy.onnx'}: the policy of {tiny_run / 'checkpoints' / 'best.pt'}\n" in said
    figure = said.partition("from the checkpoint's: ")[2].partition(" (over 10,000 observations)")[0]
    assert float(figure) <= 1e-5


def test_it_reaches_the_goal_in_the_same_64_episodes_as_its_run(tiny_run, policy):
    run, exported = (assess(find_subject(path, None, NEAR), 64)[0] for path in (tiny_run, policy))
    assert 0.0 < run.metrics["success_rate"] < 1.0
    assert exported.metrics["success_rate"] == run.metrics["success_rate"]
    assert exported.histogram == run.histogram
    assert exported.checkpoint == str(policy)


def test_it_is_evaluated_in_another_environment_too(policy, tmp_path, capsys):
    out = tmp_path / "found.json"
    keys = ["env.spawn.max_radius_m=9", "env.episode_length_s=0.1", "simulation.threads=1"]
    evaluated(policy, "--episodes", 8, "--env", "section001_far", "--seed", 7, "--json", out, *keys)
    found = json.loads(out.read_text(encoding="utf-8"))
    assert (found["seed"], found["histogram"][0]["episodes"]) == (7, 8)
    assert "env=section001_far" in capsys.readouterr().out


def test_its_metadata_say_where_it_comes_from(tiny_run, policy):
    metadata, result = read_metadata(policy), TrialResult.load(tiny_run)
    assert metadata["source"] == {
        "framework": "skrl.ppo/torch",
        "run_id": tiny_run.name,
        "checkpoint": "checkpoints/best.pt",
    }
    told = metadata["provenance"]
    assert (told["checkpoint"], told["seed"], told["env_steps"]) == ("best.pt", 42, result.best_env_steps)
    assert told["metrics"] == result.metrics and told["trained_with"] is None
    assert told["exported_with"]["versions"].keys() >= {"torch", "skrl", "mujoco", "onnx", "onnxscript"}
    recorded = compose_config([*TINY, "ppo.learning_rate=1e-3"])
    assert metadata["config"].items() <= json.loads(json.dumps(recorded)).items()
    assert {"env", "reward", "ppo", "network", "training"} <= metadata["config"].keys()


def test_its_metadata_have_the_field_names_of_the_deployment_manifest(policy):
    metadata = read_metadata(policy)
    assert {key: metadata[key].keys() for key in MANIFEST} == MANIFEST
    assert metadata["control"]["period_s"] == 0.02
    graph = onnx.load(policy).graph
    assert [part.name for part in (*graph.input, *graph.output)] == ["observation", "action"]
    assert metadata["observation"][-1]["slice"][1] == graph.input[0].type.tensor_type.shape.dim[1].dim_value
    assert len(metadata["robot"]["joint_names"]) == graph.output[0].type.tensor_type.shape.dim[1].dim_value


def test_the_file_names_no_folder_of_this_machine(tiny_run, policy):
    content = policy.read_bytes()
    for folder in (ROOT, tiny_run.parent, sys.prefix, torch.__path__[0]):
        assert str(folder).encode() not in content


def test_a_trial_is_named_after_its_study_and_has_its_code(tiny_run, tmp_path):
    study = tmp_path / "mine"
    shutil.copytree(tiny_run, study / "trials" / "003", ignore=shutil.ignore_patterns("*.onnx"))
    (study / "study.yaml").write_text("revision: abc\nversions: {torch: '2.6'}\n", encoding="utf-8")
    export_to(study / "trials" / "003" / "checkpoints" / "last.pt", tmp_path / "policy.onnx")
    metadata, result = read_metadata(tmp_path / "policy.onnx"), TrialResult.load(tiny_run)
    assert metadata["source"]["run_id"] == "mine/trials/003"
    assert metadata["provenance"]["trained_with"] == {"revision": "abc", "versions": {"torch": "2.6"}}
    assert metadata["provenance"]["env_steps"] == result.env_steps
    assert metadata["provenance"]["metrics"] == result.last_metrics
    with pytest.raises(ConfigError, match="is a study; name one of its trials"):
        export_to(study, tmp_path / "policy.onnx")


def test_a_run_from_a_gpu_is_exported_where_there_is_none(tiny_run, tmp_path, monkeypatch):
    monkeypatch.setattr("vbot_train.config.checks.count_gpus", lambda: 0)
    shutil.copytree(tiny_run, tmp_path / "run", ignore=shutil.ignore_patterns("*.onnx"))
    write_config(tmp_path / "run", compose_config([*TINY, "simulation=warp"]))
    export_to(tmp_path / "run", tmp_path / "policy.onnx")
    assert read_metadata(tmp_path / "policy.onnx")["config"]["simulation"]["backend"] == "warp"


def test_a_file_is_replaced_by_a_whole_one_or_not_at_all(tiny_run, tmp_path, monkeypatch):
    out = tmp_path / "policy.onnx"
    out.write_text("mine", encoding="utf-8")
    with monkeypatch.context() as patch:
        patch.setattr("vbot_train.evaluation.export.MAX_ERROR", -1.0)
        with pytest.raises(ConfigError, match=r"not written, its actions would differ by .* from the checkpoint's"):
            export_to(tiny_run, out)
    assert out.read_text(encoding="utf-8") == "mine"
    export_to(tiny_run, out)
    open_session(out.read_bytes())
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("policy.pt", r"policy.pt: must end in \.onnx"),
        ("no/such/policy.onnx", "no/such/policy.onnx: there is no folder no/such"),
        ("folder.onnx", "folder.onnx: is a folder"),
        ("policy.onnx", "nowhere: not the directory of a run"),
    ],
)
def test_what_cannot_be_exported_is_refused_at_once(tmp_path, monkeypatch, name, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.onnx").mkdir()
    with pytest.raises(ConfigError, match=message):
        export_to("nowhere", name)


def test_a_run_without_a_checkpoint_is_refused(tiny_run, tmp_path):
    (tmp_path / ".hydra").mkdir()
    shutil.copy(tiny_run / ".hydra" / "config.yaml", tmp_path / ".hydra")
    with pytest.raises(ConfigError, match=r"has no checkpoint \(.*best.pt is missing\)"):
        export_to(tmp_path, tmp_path / "policy.onnx")


def test_the_checkpoint_of_another_network_is_refused(tiny_run, tmp_path):
    shutil.copytree(tiny_run, tmp_path / "run")
    write_config(tmp_path / "run", compose_config([*TINY, "network=large"]))
    with pytest.raises(ConfigError, match="not a checkpoint of this agent"):
        export_to(tmp_path / "run", tmp_path / "policy.onnx")
    assert not (tmp_path / "policy.onnx").exists()


def alter(policy, out, **metadata):
    """Write a copy of an exported policy with other metadata; None takes a key away."""
    model = onnx.load(policy)
    kept = {entry.key: entry.value for entry in model.metadata_props} | metadata
    onnx.helper.set_model_props(model, {key: value for key, value in kept.items() if value is not None})
    onnx.save(model, out)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"schema_version": None}, "has no schema_version in its metadata; export writes vbot-policy/v1"),
        ({"schema_version": "vbot-policy/v2"}, "has schema_version vbot-policy/v2 in its metadata"),
        ({"config": "{"}, "its metadata is damaged"),
        ({"config": None}, r"its metadata is damaged \(no config\)"),
        ({"config": "{}"}, "env: is missing"),
    ],
)
def test_a_policy_without_our_metadata_is_not_evaluated(policy, tmp_path, metadata, message):
    alter(policy, tmp_path / "policy.onnx", **metadata)
    with pytest.raises(ConfigError, match=message) as error:
        evaluated(tmp_path / "policy.onnx")
    assert len(str(error.value).splitlines()) == 1


def test_metadata_that_are_not_text_are_told_in_a_line(policy, tmp_path, capfd):
    content = policy.read_bytes().replace(b'{"env"', b'{"\xffnv"')
    (tmp_path / "policy.onnx").write_bytes(content)
    with pytest.raises(ConfigError, match="its metadata is damaged") as error:
        evaluated(tmp_path / "policy.onnx")
    assert len(str(error.value).splitlines()) == 1 and capfd.readouterr() == ("", "")


@pytest.mark.parametrize("keep", [0, 100, -100])
def test_a_damaged_file_is_not_evaluated(policy, tmp_path, keep):
    (tmp_path / "policy.onnx").write_bytes(policy.read_bytes()[:keep])
    with pytest.raises(ConfigError, match=r"policy\.onnx: not an ONNX file, or damaged|has no schema_version") as error:
        evaluated(tmp_path / "policy.onnx")
    assert len(str(error.value).splitlines()) == 1


def test_a_missing_file_is_told_in_a_line(tmp_path):
    with pytest.raises(ConfigError, match=r"policy\.onnx: there is no such file"):
        evaluated(tmp_path / "policy.onnx")


def test_a_policy_with_other_numbers_than_the_task_has_is_not_evaluated(policy, tmp_path):
    model = onnx.load(policy)
    place = model.graph.input[0].type.tensor_type.shape.dim[1]
    node = onnx.helper.make_node("Slice", ["wide", "first", "last", "axis"], ["observation"])
    numbers = {"first": 0, "last": place.dim_value, "axis": 1}
    for name, value in numbers.items():
        model.graph.initializer.append(onnx.helper.make_tensor(name, onnx.TensorProto.INT64, [1], [value]))
    model.graph.node.insert(0, node)
    model.graph.input[0].name, place.dim_value = "wide", 60
    onnx.save(model, tmp_path / "policy.onnx")
    with pytest.raises(ConfigError, match=r"maps \(60, 12\) numbers, those of env.task=navigation are \(54, 12\)"):
        evaluated(tmp_path / "policy.onnx", "--episodes", 1)


def test_a_missing_extra_is_named_with_the_line_that_installs_it(tiny_run, policy, tmp_path, monkeypatch):
    monkeypatch.setattr("vbot_train.evaluation.exported.find_spec", lambda name: None)
    for act in (lambda: export_to(tiny_run, tmp_path / "policy.onnx"), lambda: evaluated(policy)):
        with pytest.raises(ConfigError, match=r"policy\.onnx: needs the extra `export`: pip install 'onnx"):
            act()


@pytest.mark.parametrize(
    "arguments",
    [["export", "--help"], ["export", "nowhere", "policy.onnx"], ["evaluate", "--help"], ["evaluate", "policy.onnx"]],
    ids=" ".join,
)
def test_help_and_what_is_refused_import_neither_torch_nor_mujoco(tmp_path, arguments):
    name, *others = arguments
    code = (
        f"import sys, vbot_train.{name} as command\n"
        "try: command.main()\n"
        "except SystemExit as end: print(end.code, [n for n in ('torch', 'mujoco', 'onnx') if n in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code, *others], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.endswith(" []\n"), done.stderr


def test_a_refusal_ends_the_process_with_exit_code_1(tmp_path):
    line = [sys.executable, "-m", "vbot_train.export", "nowhere", "policy.onnx"]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "") and done.stderr.count("\n") == 1
