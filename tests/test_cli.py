"""The command line: quick to answer, and short when it refuses."""

import logging
import subprocess
import sys

import pytest
import yaml

from vbot_train.__main__ import main, read_command_line
from vbot_train.config.composition import CONF_DIR


def run(cwd, *arguments, module="vbot_train"):
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=100)


@pytest.fixture
def refuse(tmp_path, monkeypatch, capsys):
    """Run a command line that is to be refused, in this process. Returns what the user would read."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level

    def run_here(*arguments):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["vbot_train", *arguments])
        with pytest.raises(SystemExit) as end:
            read_command_line()
            main()
        code = end.value.code  # Python prints a message to stderr, and exits with 1
        assert code == 1 or isinstance(code, str)
        return "\n".join([*capsys.readouterr(), str(code)])

    yield run_here
    root.handlers[:] = handlers  # Hydra sets its own
    root.setLevel(level)


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--cfg", "job", "simulation=warp"], ["--cfg", "hydra", "search=full"]]
)
def test_asking_imports_neither_torch_nor_mujoco_nor_optuna(tmp_path, arguments):
    code = (
        "import atexit, sys\n"
        "names = ('torch', 'mujoco', 'warp', 'optuna', 'skrl', 'sqlalchemy')\n"
        "atexit.register(lambda: print('IMPORTED', [n for n in names if n in sys.modules], file=sys.stderr))\n"
        f"sys.argv = ['vbot_train', *{arguments!r}]\n"
        "import runpy; runpy.run_module('vbot_train', run_name='__main__', alter_sys=False)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert "IMPORTED []" in done.stderr, done.stderr
    assert "ppo" in done.stdout


def test_the_analysis_imports_neither_hydra_nor_torch_nor_mujoco():
    code = "import sys, vbot_train.analyze; print([n for n in ('hydra', 'torch', 'mujoco') if n in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"


@pytest.mark.parametrize(
    ("argument", "instead"),
    [
        ("resume=fork", """a new study= with search.enqueue='["multirun/OLD:all"]'"""),
        ("search.seeds_per_trial=3", "search.seeds_per_configuration=3"),
        ("env.standard_env_steps=5000", "training.env_steps=5000"),
    ],
)
def test_a_key_that_is_gone_is_answered_with_what_to_type_instead(tmp_path, argument, instead):
    done = run(tmp_path, "-m", "search=quick", argument)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"{argument}: there is no such key any more; type {instead}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ppo.learning_rate=-1"], "ppo.learning_rate=-1: must be more than 0"),
        (["ppo.learning_rate=nan"], "ppo.learning_rate=nan: must be more than 0"),
        (["training.num_envs=0"], "training.num_envs=0: must be at least 1"),
        (["network.hidden_layer_sizes=[]"], "network.hidden_layer_sizes=[]"),
        (["ppo.discount_factor=1.5"], "ppo.discount_factor=1.5"),
        (["+reward.flying.weight=1"], "reward.flying.weight=1: no such key"),
        (["search.metric=speed"], "search.metric=speed: choose one of episode_reward_mean"),
        (["search=quick"], "search=quick: a search needs -m"),
        (["search=[quick]"], "search=[quick]: a search needs -m"),
        (["network=[small]"], "network: must be one option of conf/network/, no list"),
        (["search.within=-1"], "search.within=-1: must be more than 0"),
        (["search.within=1se"], "search.within=1se: must be a number"),
        (["search.max_trials=many"], "search.max_trials=many: must be a number"),
        (["pruner=halving"], "pruner=halving: there is no such key any more; type scheduler=halving"),
        (["+scheduler.rung=1"], "scheduler.rung=1: no such key; did you mean scheduler.rungs?"),
        (["+search.constraints.mine='seed == 42'"], "search.constraints.mine=seed == 42: this configuration breaks"),
        (["ppo.mini_batches=20000"], "ppo.mini_batches"),
        (["init_from=nowhere"], "init_from=nowhere: no such run or checkpoint"),
        (["ppo.nonsense=1"], "nonsense"),
        (["network=huge"], "huge"),
        (["-m"], "nothing to search"),
        (["-m", "network=[small]", "ppo.rollouts=24,48"], "network: must be one option of conf/network/, no list"),
        (["-m", "search=quick", "~search.constraints"], "search.constraints: is missing"),
        (["-m", "search=quick", "~study"], "study: is missing"),
        (["-m", "seed=1,4294967296"], "seed=4294967296: must be at least 0 and at most 4294967295"),
        (
            ["-m", "search=quick", "seed=4294967295", "search.seeds_per_configuration=2"],
            "seeds up to 4294967296, and the largest",
        ),
        (["-m", "search=full", "ppo.discount_factor=interval(0.9,1.0001)"], "ppo.discount_factor=1.0001: must be"),
        (["-m", "search=quick", "ppo.learning_rate=-1"], "ppo.learning_rate=-1: must be more than 0"),
        (["-m", "ppo.nonsense=1,2"], "ppo.nonsense: no such key"),
        (["-m", "search=full,quick"], "search=choice(full, quick): cannot be searched"),
        (["-m", "ppo.learning_rate=interval(1e-3,1e-4)"], "ppo.learning_rate=interval(1e-3,1e-4)"),
        (["-m", "ppo.learning_rate=interval(-1,1)", "method=random"], "ppo.learning_rate=-"),
        (["-m", "search=quick", "search.metric=speed"], "search.metric=speed"),
        (["-m", "search=quick", "+search.constraints.mine=\"__import__('os').system('x')\""], "Call is not allowed"),
        (["-m", "search=quick", "+search.constraints.mine='9**9**9**9 > 1'"], "cannot be evaluated"),
        (["-m", "search=quick", "+search.constraints.mine='ppo.no_such_key > 1'"], "no such key ppo.no_such_key"),
        (["-m", "search=quick", "+search.constraints={1: 'seed == 1'}"], "must be a string"),
        (["-m", "search=quick", "search.constraints=null"], "search.constraints=None: must be names with rules"),
        (["-m", "search=full", "hydra/sweeper/sampler=qmc"], "QMCSampler cannot be resumed or shared"),
        (["-m", "search=quick", "training.num_envs=0"], "training.num_envs=0: must be at least 1"),
        (["-m", "search=quick", "+search.constraints.mine='seed > 0'"], "none of 6 points is feasible"),
        (["-m", "search=quick", "simulation=warp", "simulation.device=gpu"], "simulation.device=gpu: must be null"),
        (["simulation=motrix"], "simulation=motrix: does not train, it evaluates"),
        (["-m", "search=quick", "simulation=motrix"], "simulation=motrix: does not train, it evaluates"),
        (["-m", "search=quick", "workers=0"], "workers=0: must be at least 1"),
        (["-m", "search=quick", "study=../elsewhere"], "study=../elsewhere"),
        (["-m", "search=full", "method=grid"], "a grid needs choice(...)"),
        (["-m", "search=quick", "budget_hours=-1"], "budget_hours=-1: must be more than 0"),
        (["-m", "search=quick", "search.within=-1"], "search.within=-1: must be more than 0"),
        (["-m", "search=quick", "search.trial_minutes=0"], "search.trial_minutes=0: must be more than 0"),
        (
            ["-m", "search=quick", "search.seeds_per_configuration=1.5"],
            "search.seeds_per_configuration=1.5: must be a whole number",
        ),
        (["-m", "search=quick", "search.duplicates=ok"], "search.duplicates=ok: choose one of replicate, skip"),
        (
            ["-m", "search=quick", "search.around=nowhere"],
            "search.around=nowhere: nowhere: not the directory of a study",
        ),
        (["-m", "search=quick", "search.enqueue=[nowhere]"], "search.enqueue=nowhere: nowhere: not the directory of"),
        (["-m", "search=quick", "search.enqueue=['ppo.nonsense=1']"], "ppo.nonsense=1: no such key"),
        (["-m", "search=quick", "search.enqueue=['ppo.rollouts=24,48']"], "one value for each key"),
        (
            ["-m", "search=full", "scheduler=halving", "scheduler.reduction_factor=1"],
            "scheduler.reduction_factor=1: must",
        ),
        (
            ["-m", "search=full", "scheduler=halving", "scheduler.rungs=[0.5,0.25]"],
            "scheduler.rungs=[0.5, 0.25]: must be incr",
        ),
        (["-m", "search=full", "scheduler=halving", "scheduler.rungs=[0.5,1.5]"], "scheduler.rungs[1]=1.5: must be"),
        (
            ["-m", "search=full", "scheduler=halving", "scheduler.rungs=[0,0.5]"],
            "scheduler.rungs=[0, 0.5]: must be incr",
        ),
        (
            ["-m", "search=full", "scheduler=halving", "scheduler.rungs=0.5"],
            "scheduler.rungs=0.5: must be a list of shares",
        ),
        (
            ["-m", "search=full", "training.evaluations=3"],
            "scheduler.rungs=[0.5]: 0.5 lies between two of the 3 held-out evaluations; choose k/3",
        ),
        (
            ["-m", "search=full", "search.metric=env_steps_to_success"],
            "search.metric=env_steps_to_success: is known at the end only, so no rung can compare it; or scheduler=n",
        ),
        (
            ["-m", "search=quick", "scheduler=halving", "training=smoke", "training.evaluations=8"],
            "training.evaluations=8: more than the 6 updates",
        ),
        (["-m", "search=quick", "storage=nonsense"], "storage: not a SQLAlchemy URL"),
        (["-m", "search=full", "search.confirm=5"], "search.confirm=5: must be none, or have the keys top_k and seeds"),
        (["-m", "search=full", "search.confirm.top_k=-1"], "search.confirm.top_k=-1: must be at least 0"),
        (["-m", "search=full", "search.confirm.seeds=0"], "search.confirm.seeds=0: must be at least 1"),
        (["-m", "search=full", "search.test.seeds=[1,1]"], "search.test.seeds=[1, 1]: must be a number, or seeds that"),
        (["-m", "search=full", "search.test.seeds=[42]"], "search.test.seeds: 42 is a seed of the search too"),
        (["-m", "search=full", "seed=1002"], "search.confirm.seeds: 1002 is a seed of the search too"),
        (["-m", "search=full", "search.test.evaluation_seed=2_000_003"], "2000003 is a seed of evaluation.seed too"),
        (["-m", "search=quick", "storage=sqlite:////no/such/folder/study.db"], "unable to open database file"),
        (["-m", "network=glob(z*)"], "network=glob(z*): there is no such option"),
        (["-m", "seed=range(0,1000000000)"], "seed=range(0, 1000000000): a grid of 1,000,000,000 cells"),
        (
            ["-m", "seed=range(0,1000000000)", "ppo.rollouts=16,24", "method=random"],  # all but listed
            "search.confirm.seeds: 1001 is a seed of the search too",
        ),
        (["-m", "seed=range(0,1000000000)", "method=gp"], "seed=range(0, 1000000000): method=gp takes at most 100,000"),
        (
            ["-m", "search=full", "search.confirm.seeds=1000000000"],
            "search.confirm.seeds=1000000000: must be at least 1",
        ),
        (
            ["-m", "search=full", "search.seeds_per_configuration=1000000000"],
            "search.seeds_per_configuration=1000000000: must be at",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_refused_in_a_line_before_anything_trains(tmp_path, refuse, arguments, message):
    output = refuse(*arguments)
    assert message in output
    assert "Traceback" not in output
    assert not list(tmp_path.glob("multirun/*/trials")), "a study was opened"
    assert not list(tmp_path.glob("outputs/*/checkpoints")), "a run was begun"


HEADER = "# @package _global_\n"
SECTION = "defaults:\n  - section001\n  - _self_\n"


@pytest.mark.parametrize(
    ("file", "content", "arguments", "message"),
    [
        (
            "experiment/x.yaml",
            "ppo:\n  learning_rate: 5e-4\n",
            ["experiment=x"],
            "experiment.ppo.learning_rate=0.0005:",
        ),
        ("experiment/x.yaml", f"{HEADER}workrs: 1\n", ["experiment=x"], "workrs=1: no such key; did you mean workers?"),
        ("search/x.yaml", "search: {name: x}\n", ["-m", "search=x", "ppo.rollouts=24,48"], "search.search.name=x:"),
        (
            "network/x.yaml",
            "hidden_layers: [64]\n",
            ["-m", "network=x,small"],
            "did you mean network.hidden_layer_sizes?",
        ),
        (
            "env/x.yaml",
            f"{HEADER}{SECTION}env:\n  standard_env_steps: 5000\n",
            ["env=x"],
            "env.standard_env_steps=5000: there is no such key any more; it is now training.env_steps=5000",
        ),
        (
            "env/x.yaml",
            f"{HEADER}{SECTION}training:\n  num_envs: 64\n",
            ["env=x"],
            "x.yaml: training={'num_envs': 64}: only env_steps counts here; an option of training sets",
        ),
        (
            "env/x.yaml",
            f"{SECTION}env:\n  goal_radius_m: 1.0\n",
            ["env=x"],
            "if it comes from an option of env, its file must begin with the line # @package _global_",
        ),
        (
            "env/x.yaml",
            "task: navigation\n",
            ["env=x"],
            "env.episode_length_s: is missing",
        ),
        (
            "experiment/x.yaml",
            "defaults:\n  - override /network: small\n",
            ["experiment=x"],
            "x.yaml: must begin with the line # @package _global_, as its defaults have override /network",
        ),
        ("network/x.yaml", "defaults:\n  - x\n", ["network=x"], "x.yaml: its defaults include x itself"),
        ("network/x.yaml", "defaults: small\n", ["network=x"], "x.yaml: defaults=small: must be a list"),
        (
            "env/x.yaml",
            f"{HEADER}{SECTION}training: 5\n",
            ["env=x", "training=smoke"],
            "x.yaml: training=5: only env_steps counts here",
        ),
    ],
)
def test_an_option_of_a_users_own_that_sets_what_nothing_reads_is_refused(
    tmp_path, refuse, file, content, arguments, message
):
    path = tmp_path / "own" / file
    path.parent.mkdir(parents=True)
    path.write_text(content, encoding="utf-8")
    output = refuse("--config-dir", "own", *arguments)
    assert message in output and "Traceback" not in output
    assert len(output.split("\n")) <= 4, output


def test_an_env_option_without_a_length_is_told_who_sets_it(tmp_path, refuse):
    section = yaml.safe_load((CONF_DIR / "env" / "section001.yaml").read_text(encoding="utf-8"))
    path = tmp_path / "own" / "env" / "x.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(yaml.safe_dump(section["env"]), encoding="utf-8")
    missing = "training.env_steps: is missing; an option of env sets it, for training=standard"
    assert missing in refuse("--config-dir", "own", "env=x")


SAID = "x.yaml, line 2: begins with a tab, indent with spaces: - 64"


@pytest.mark.parametrize(
    ("content", "arguments", "message"),
    [
        (b"hidden_layer_size: [64]\n", ["network=x"], "no such key; did you mean network.hidden_layer_sizes?"),
        (b"hidden_layer_sizes:\n\t- 64\n", ["network=x"], SAID),
        (b"hidden_layer_sizes:\n\t- 64\n", ["experiment=uses_x"], SAID),
        (b"hidden_layer_sizes:\n\t- 64\n", ["-m", "network=small,x"], SAID),
        (b"\xef\xbb\xbfa: [64]\n", ["network=x"], "x.yaml, line 1: begins with a byte order mark; save the file as"),
        ("# a\n# Größe\n".encode("latin-1"), ["network=x"], "x.yaml, line 2: byte 0xf6 is not UTF-8; save the file as"),
        ("a: [64]\n".encode("utf-16"), ["network=x"], "x.yaml, line 1: byte 0xff is not UTF-8"),
        (b"a: [1]\n\na: [2]\n", ["network=x"], "x.yaml, line 3: found duplicate key a: a: [2]"),
        (b"a: [64\n", ["network=x"], "x.yaml, line 2: did not find expected ',' or ']'"),
        (b"", ["network=x"], "x.yaml: is empty; an option has keys, each with a value"),
        (b"# a network\n", ["network=x"], "x.yaml: is empty; an option has keys, each with a value"),
        (b"- 64\n", ["network=x"], "x.yaml: is a list; an option has keys, each with a value"),
        (b"a: [6\x01]\n", ["network=x"], "x.yaml: is no option (unacceptable character #x0001: control characters"),
        (b"64\n", ["network=x"], "x.yaml: is no option (Invalid loaded object type: int)"),
        (
            b"# @package\na: 1\n",
            ["network=x"],
            "x.yaml: is no option (Expected header format: KEY VALUE, got '@package",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else ascii(value),
)
def test_what_is_wrong_with_an_option_file_is_said_in_a_line(tmp_path, refuse, content, arguments, message):
    recipe = f"{HEADER}defaults:\n  - override /network: x\n".encode()
    for name, text in (("network/x", content), ("experiment/uses_x", recipe)):
        path = tmp_path / "own" / f"{name}.yaml"
        path.parent.mkdir(parents=True)
        path.write_bytes(text)
    output = refuse("--config-dir", "own", *arguments)
    assert message in output and "Traceback" not in output
    assert len(output.split("\n")) <= 4, output  # nothing on stdout, the line with its end, and the exit code


def test_a_missing_option_or_folder_is_said_in_the_first_line(tmp_path, refuse):
    (tmp_path / "own" / "network").mkdir(parents=True)
    assert (
        "Could not find 'experiment/best'" in refuse("--config-dir", "own", "experiment=best").strip().splitlines()[0]
    )
    assert "--config-dir=none: there is no such folder" in refuse("--config-dir", "none", "experiment=best")


@pytest.mark.parametrize("arguments", [["ppo.learning_rate=-1"], ["-m", "search=quick", "ppo.learning_rate=-1"]])
def test_a_refusal_ends_the_process_with_exit_code_1(tmp_path, arguments):
    done = run(tmp_path, *arguments)
    assert done.returncode == 1
    assert "ppo.learning_rate=-1: must be more than 0" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("module", ["vbot_train.analyze", "vbot_train.evaluate", "vbot_train.status"])
def test_a_directory_that_is_no_study_and_no_run_is_refused(tmp_path, module):
    done = run(tmp_path, str(tmp_path), module=module)
    assert done.returncode == 1
    assert str(tmp_path) in done.stderr and "not the directory of a" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_option_may_be_named_like_a_number(tmp_path):
    (tmp_path / "network").mkdir()
    (tmp_path / "network" / "256.yaml").write_text("hidden_layer_sizes: [7]\n", encoding="utf-8")
    done = run(tmp_path, "--config-dir", str(tmp_path), "--cfg", "job", "--package", "network", "network=256")
    assert done.stdout.split() == ["#", "@package", "network", "hidden_layer_sizes:", "-", "7"], done.stderr


def test_a_single_run_trains_shows_its_metrics_and_can_be_evaluated(tmp_path):
    done = run(tmp_path, "training=smoke", "hydra.run.dir=here")
    assert done.returncode == 0, done.stderr
    assert "success_rate" in done.stdout and "4,608 env steps" in done.stdout
    again = run(tmp_path, "here", "--episodes", "4", "--env", "section001_far", module="vbot_train.evaluate")
    assert again.returncode == 0, again.stderr
    assert "success_rate" in again.stdout
    (tmp_path / "here" / "checkpoints" / "best.pt").write_text("nothing", encoding="utf-8")
    refused = run(tmp_path, "here", module="vbot_train.evaluate")
    assert refused.returncode == 1
    assert "not a checkpoint of this agent" in refused.stderr and "Traceback" not in refused.stderr
