"""Export of a checkpoint: observation scaler and mean action in one ONNX graph, with metadata."""

import json
import logging
import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor

from vbot_train.agent.ppo import Learner, MeanAction, compute_mean_action
from vbot_train.config.checks import check_evaluation
from vbot_train.config.composition import ConfigError
from vbot_train.env.environment import Environment, build_env
from vbot_train.evaluation.exported import INPUT, OUTPUT, SCHEMA_VERSION, open_session
from vbot_train.evaluation.held_out import evaluate
from vbot_train.evaluation.policies import OnnxPolicy, Policy, load_agent
from vbot_train.evaluation.provenance import describe_source, describe_training, select_config
from vbot_train.evaluation.recorded import RecordedRun
from vbot_train.training.files import write_atomically

COMPARED = 10_000  # observations, at least
MAX_ERROR = 1e-5  # of an action; relative, where it is larger than 1


class Compared:
    """A policy that also records by how much another one differs.

    Args:
        policy: Its actions are returned.
        other: The policy to compare.
    """

    def __init__(self, policy: Policy, other: Policy) -> None:
        self._policy, self._other = policy, other
        self._errors: list[Tensor] = []

    def __call__(self, observation: Tensor) -> Tensor:
        """Return the action (E, J) for observations (E, N)."""
        action = self._policy(observation)
        self._errors.append(((action - self._other(observation)).abs() / action.abs().clamp(min=1.0)).max())
        return action

    @property
    def largest(self) -> float:
        """Largest difference so far, relative to actions beyond [-1, 1]; NaN if any was NaN."""
        return torch.stack(self._errors).max().item()


def export_policy(run: RecordedRun, out: Path, exporter: Mapping[str, Any]) -> float:
    """Write the policy of a run's checkpoint to an ONNX file, atomically, if its actions are those of the checkpoint.

    Args:
        run: The run and its checkpoint.
        out: The file; an existing one is replaced.
        exporter: Code revision and versions, for the metadata.

    Returns:
        The largest difference of an action over ``COMPARED`` observations of held-out episodes.

    Raises:
        ConfigError: The checkpoint does not fit the run's config, or an action differs by more than ``MAX_ERROR``.
    """
    config = check_evaluation(run.config, None, ["simulation.backend=mujoco"])  # a run from a GPU needs none here
    robots = math.ceil(COMPARED / config.env.control_steps)
    env = build_env(config, num_envs=robots, seed=0)
    agent = load_agent(run.checkpoint, config, env)
    model = build_graph(agent, env)
    onnx.helper.set_model_props(model, build_metadata(run, config.seed, env, exporter))
    content = model.SerializeToString()
    compared = Compared(partial(compute_mean_action, agent), OnnxPolicy(open_session(content)))
    evaluate(env, compared, config.evaluation.seed)
    if not compared.largest <= MAX_ERROR:
        raise ConfigError(f"{out}: not written, its actions would differ by {compared.largest:g} from the checkpoint's")
    write_atomically(out, content)
    return compared.largest


def build_graph(agent: Learner, env: Environment) -> onnx.ModelProto:
    """Build the graph of ``compute_mean_action``, which maps ``observation`` (batch, N) to ``action`` (batch, J)."""
    with _silence():
        program = torch.onnx.export(
            MeanAction(agent).eval(),
            (torch.zeros(2, env.observation_size, device=env.device),),
            dynamo=True,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            verbose=False,
        )
    assert program is not None
    model: onnx.ModelProto = program.model_proto
    for node in (*model.graph.node, *model.graph.input, *model.graph.output, *model.graph.value_info):
        del node.metadata_props[:]  # torch's notes for debugging, with paths of this machine
    return model


def build_metadata(run: RecordedRun, seed: int, env: Environment, exporter: Mapping[str, Any]) -> dict[str, str]:
    """Build the metadata, JSON texts by key: observation, action, robot, control, source, provenance, config."""
    content = {
        **env.describe_interface(),
        "source": describe_source(run),
        "provenance": {"seed": seed, **describe_training(run), "exported_with": exporter},
        "config": select_config(run.config),
    }
    return {"schema_version": SCHEMA_VERSION, **{key: json.dumps(value) for key, value in content.items()}}


@contextmanager
def _silence() -> Iterator[None]:
    """Keep back what torch's exporter says about packages that are not needed here, and about its own future."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        log.setLevel(level)
