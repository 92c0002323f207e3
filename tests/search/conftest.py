"""What tests of the search share: spaces, and studies on disk."""

import shutil
import sqlite3
import sys
from contextlib import ExitStack
from pathlib import Path

import optuna
import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra._internal.hydra import Hydra
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf
from optuna.trial import TrialState, create_trial
from searches import Searches, kill_group
from sqlalchemy import Engine, event
from workers import CELLS, METRIC, Worker

from vbot_train.config.composition import CONF_DIR
from vbot_train.config.validation import compose_validated
from vbot_train.search.execution.trial_queue import TrialQueue
from vbot_train.search.execution.worker_lock import WorkerLock
from vbot_train.search.space.proposals import GridProposals
from vbot_train.search.space.space import Space, split_overrides
from vbot_train.study.attributes import STATUS
from vbot_train.study.layout import EXPERIMENT_YAML, STUDY_DB, STUDY_YAML
from vbot_train.study.plan import NO_STAGES
from vbot_train.study.storage import connect, quiet_optuna
from vbot_train.training.metrics import METRICS
from vbot_train.training.result import TrialResult

quiet_optuna()


@event.listens_for(Engine, "connect")
def do_not_wait_for_the_disk(connection, record):
    """What these tests write need not survive the machine."""
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous = OFF")


@pytest.fixture(scope="session")
def make_space():
    """Build a Space as a search does, from a preset's params and the command line; ``config_dir`` is a user's own."""

    def make(*arguments: str, config_dir: Path | None = None, config_path: Path = CONF_DIR) -> Space:
        with initialize_config_dir(str(config_path)):
            if config_dir is not None:  # as hydra.main does
                path = GlobalHydra.instance().config_loader().get_search_path()
                path.append("command-line", f"file://{config_dir}")
                GlobalHydra.instance().clear()
                Hydra.create_main_hydra2("vbot_train", path)
            fixed = [line for line in arguments if "," not in line and "(" not in line]
            config = compose("config", overrides=fixed, return_hydra_config=True)
            loader = GlobalHydra.instance().config_loader()
            distributions, fixed = split_overrides(dict(config.hydra.sweeper.params or {}), arguments, loader)
            return Space(distributions, fixed, config, loader)

    return make


@pytest.fixture(scope="session")
def empty_study(tmp_path_factory):
    """The SQLite file of a study named s without trials; to copy, for it takes a second to make."""
    directory = tmp_path_factory.mktemp("template")
    optuna.create_study(study_name="s", storage=connect(None, directory), direction="maximize")
    return directory / STUDY_DB


@pytest.fixture(scope="session")
def earlier_study(tmp_path_factory, make_space, empty_study):
    """Write a study as a search leaves it: what varied, then its trials as (params, status, reward)."""

    def write(*sweeps, trials):
        space, directory = make_space(*sweeps), tmp_path_factory.mktemp("earlier")
        shutil.copy(empty_study, directory)
        study = optuna.load_study(study_name="s", storage=connect(None, directory))
        for number, (params, status, reward) in enumerate(trials):
            candidate, trial = space.compose_candidate(params), directory / "trials" / f"{number:03d}"
            (trial / ".hydra").mkdir(parents=True)
            OmegaConf.save(candidate.config, trial / ".hydra" / "config.yaml")
            metrics = dict.fromkeys(METRICS, 0.5) | {"episode_reward_mean": reward}
            TrialResult(status=status, trial=number, seed=42, seeds=[42], metrics=metrics).save(trial)
            (trial / EXPERIMENT_YAML).write_text("seed: 42\n", encoding="utf-8")
            end = (TrialState.COMPLETE, reward) if status == "completed" else (TrialState.FAIL, None)
            ranges = space.distributions
            told = {"params": params, "distributions": ranges, "user_attrs": {STATUS: status}}
            study.add_trial(create_trial(state=end[0], value=end[1], **told))
        groups = space.compose_candidate(next(params for params, _, _ in trials)).choices
        record = {"study": "s", "metric": "episode_reward_mean", "space": space.describe(), "groups": groups}
        (directory / STUDY_YAML).write_text(yaml.safe_dump(record, sort_keys=False), encoding="utf-8")
        return directory

    return write


@pytest.fixture(scope="session")
def grid(make_space):
    """Four cells, the epochs varying fastest."""
    return make_space("ppo.rollouts=16,24", "ppo.learning_epochs=2,4")


@pytest.fixture(scope="session")
def line(make_space):
    return make_space("ppo.learning_rate=interval(1e-4,1e-3)")


@pytest.fixture
def join(tmp_path, empty_study, grid):
    """``join(total=2, ...)``: one more worker, with the keys of its job changed, joins the study in tmp_path."""
    shutil.copy(empty_study, tmp_path)
    with ExitStack() as locks:

        def make(
            proposals=None,
            *,
            space=grid,
            total=4,
            workers=1,
            overrides=(),
            budget_hours=None,
            directory=tmp_path,
            stages=NO_STAGES,
            **job,
        ):
            study = optuna.load_study(study_name="s", storage=connect(None, tmp_path))
            worker_lock = locks.enter_context(WorkerLock(tmp_path))
            keys = {
                "search.metric": METRIC,
                "training.env_steps": 1000,
                "training.num_envs": 16,
                **{f"search.{key}": v for key, v in job.items()},
            }
            settings = [f"{key}={value}" for key, value in keys.items()]
            queue = TrialQueue(
                study,
                directory / "trials",
                worker_lock,
                space,
                proposals or GridProposals(CELLS),
                config=compose_validated([*settings, *overrides, f"budget_hours={budget_hours or 'null'}"]),
                total=total,
                workers=workers,
                stages=stages,
            )
            return Worker(queue, worker_lock, study)

        yield make


@pytest.fixture
def searches(tmp_path):
    if sys.platform == "win32":
        pytest.skip("these searches are stopped by signals, and killed by process group")
    started = Searches(tmp_path)
    yield started
    for process in started.processes:
        if process.poll() is None:
            kill_group(process)
