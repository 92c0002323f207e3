"""The policies that can be evaluated: those of checkpoints, and exported ones."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vbot_train.agent.networks import Spaces
from vbot_train.agent.ppo import Learner, build_agent, compute_mean_action, load_checkpoint
from vbot_train.config.composition import ConfigError
from vbot_train.config.schema import RecordedConfig
from vbot_train.env.environment import Environment
from vbot_train.evaluation.exported import INPUT, OUTPUT, is_exported, open_exported

Policy = Callable[[Tensor], Tensor]  # maps observations (E, N) to actions (E, J)


class OnnxPolicy:
    """An exported policy.

    Args:
        session: An ``onnxruntime.InferenceSession``; see ``exported.open_session``.
    """

    def __init__(self, session: Any) -> None:
        self._session = session

    def __call__(self, observation: Tensor) -> Tensor:
        """Compute actions (E, J) for observations (E, N), on their device."""
        (action,) = self._session.run([OUTPUT], {INPUT: observation.cpu().numpy()})
        return torch.from_numpy(action).to(observation.device)

    def read_sizes(self) -> tuple[int, int]:
        """Return the numbers per observation, N, and per action, J."""
        return self._session.get_inputs()[0].shape[-1], self._session.get_outputs()[0].shape[-1]


def load_policy(path: Path, config: RecordedConfig, env: Environment) -> Policy:
    """Load the mean action of a policy.

    Args:
        path: A checkpoint, or an exported policy.
        config: The config that it was trained with.
        env: The environment that it is to act in.

    Raises:
        ConfigError: It does not fit the config's agent or the environment, or the file is damaged.
    """
    if not is_exported(path):
        return partial(compute_mean_action, load_agent(path, config, env))
    policy, sizes = OnnxPolicy(open_exported(path)), (env.observation_size, env.action_size)
    if policy.read_sizes() != sizes:
        raise ConfigError(
            f"{path}: maps {policy.read_sizes()} numbers, those of env.task={config.env.task} are {sizes}"
        )
    return policy


def load_agent(checkpoint: Path, config: RecordedConfig, env: Environment) -> Learner:
    """Load a checkpoint into an agent that can act in an environment.

    Raises:
        ConfigError: The checkpoint does not fit the config's agent.
    """
    agent = build_agent(
        config.ppo,
        config.network.hidden_layer_sizes,
        Spaces.of(env.observation_size, env.action_size),
        num_envs=1,
        env_steps=1,
        device=env.device,
    )
    load_checkpoint(agent, checkpoint)
    return agent
