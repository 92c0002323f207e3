"""Construction of skrl's PPO from the config, its applied settings, and checkpoints."""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from operator import attrgetter
from pathlib import Path
from typing import Any

import torch
from skrl.agents.torch.ppo import PPO, PPO_CFG
from skrl.memories.torch import RandomMemory
from skrl.resources.preprocessors.torch import RunningStandardScaler
from skrl.resources.schedulers.torch import KLAdaptiveLR
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.optim.lr_scheduler import LinearLR

from vbot_train.agent.networks import Policy, Spaces, Value, read_hidden_sizes
from vbot_train.agent.optimizer import leave_out_compiler
from vbot_train.config.composition import ConfigError
from vbot_train.config.schema import Ppo
from vbot_train.training.files import write_atomically

SKRL_KEYS = {field.name for field in fields(PPO_CFG)}
SCHEDULES = {type(None): "none", LinearLR: "linear", KLAdaptiveLR: "kl"}
# How a key of conf/ppo is read back from a new agent. A key that is not listed is a field of ``agent.cfg``.
READ_BACK: dict[str, Callable[[PPO], Any]] = {
    "learning_rate": lambda agent: read_initial_rate(agent.optimizer),
    "learning_rate_schedule": lambda agent: SCHEDULES[type(agent.scheduler)],
    "kl_target": lambda agent: getattr(agent.scheduler, "kl_threshold", None),  # None: without effect
    "rollouts": lambda agent: agent.memory.memory_size,
    "initial_std": lambda agent: round(agent.policy.std().mean().item(), 6),
}


class Learner(PPO):
    """skrl's PPO with fewer evaluations of the value function.

    It computes values once per rollout, in the update, instead of at every control step. It computes bootstrap values
    only for truncated robots, instead of for all robots whenever one is truncated.
    """

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._cut_off: list[tuple[int, Tensor, Tensor]] = []  # control step, truncated robots, their final observations

    def act(
        self, observations: Tensor, states: Tensor | None, *, timestep: int, timesteps: int
    ) -> tuple[Tensor, dict[str, Any]]:
        """Sample an action (E, J) for every robot."""
        with torch.autocast(self._device_type, enabled=self.cfg.mixed_precision):
            action, outputs = self.policy.act({"observations": self._observation_preprocessor(observations)})
        self._current_log_prob = outputs["log_prob"]
        return action, outputs

    def record_transition(
        self, *, rewards: Tensor, next_observations: Tensor, truncated: Tensor, **others: Any
    ) -> None:
        """Store one control step of every robot. ``truncated`` is (E, 1)."""
        cut = truncated.squeeze(1).nonzero().squeeze(1)
        if len(cut):
            self._cut_off.append((self.memory.memory_index, cut, next_observations[cut]))
        self._current_next_observations, self._current_next_states = next_observations, None
        self.memory.add_samples(
            observations=others["observations"],
            actions=others["actions"],
            rewards=rewards,
            terminated=others["terminated"],
            truncated=truncated,
            log_prob=self._current_log_prob,
        )  # update() adds the values

    def update(self, *, timestep: int, timesteps: int) -> None:
        """Learn from the rollout in memory."""
        self._bootstrap_truncated()
        self.memory.set_tensor_by_name("values", self._value_of(self.memory.get_tensor_by_name("observations")))
        super().update(timestep=timestep, timesteps=timesteps)

    def state_dict(self) -> dict[str, Any]:
        """Return everything that the next updates depend on; to be called between two updates.

        At that point the memory holds nothing that is still needed, and bfloat16 needs no gradient scaler.
        """
        modules = {name: module.state_dict() for name, module in self.checkpoint_modules.items()}
        return {"modules": modules, "scheduler": None if self.scheduler is None else self.scheduler.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the result of ``state_dict`` of a learner with the same config."""
        for name, module in self.checkpoint_modules.items():
            module.load_state_dict(state["modules"][name])
        if self.scheduler is not None:
            self.scheduler.load_state_dict(state["scheduler"])

    @torch.no_grad()
    def _bootstrap_truncated(self) -> None:
        """Add the discounted bootstrap value to the reward of truncated robots."""
        if not self._cut_off:
            return
        rewards = self.memory.get_tensor_by_name("rewards")
        steps, robots, observations = zip(*self._cut_off, strict=True)
        values = torch.split(self._value_of(torch.cat(observations)), [len(index) for index in robots])
        for step, index, value in zip(steps, robots, values, strict=True):
            rewards[step, index] += self.cfg.discount_factor * value
        self._cut_off.clear()

    @torch.no_grad()
    def _value_of(self, observations: Tensor) -> Tensor:
        """Compute the values of observations, in units of reward. Returns (..., 1)."""
        value, _ = self.value.act({"observations": self._observation_preprocessor(observations)})
        return self._value_preprocessor(value, inverse=True)


def build_agent(
    ppo: Ppo,
    hidden: Sequence[int],
    spaces: Spaces,
    *,
    num_envs: int,
    env_steps: int,
    device: torch.device | str = "cpu",
) -> Learner:
    """Build the agent.

    Args:
        ppo: One option of ``conf/ppo/``.
        hidden: Widths of the hidden layers, for both the policy and the value function.
        spaces: Spaces of the environment.
        num_envs: Number of robots.
        env_steps: Total number of env steps of the training; a linear schedule ends there.
        device: Device of networks and rollouts; that of the environment.
    """
    leave_out_compiler()
    policy = Policy(spaces, hidden, initial_std=ppo.initial_std, device=device)
    agent = Learner(
        models={"policy": policy, "value": Value(spaces, hidden, device=device)},
        memory=RandomMemory(memory_size=ppo.rollouts, num_envs=num_envs, device=device),
        **spaces._asdict(),
        device=device,
        cfg=PPO_CFG(
            **ppo.model_dump(include=SKRL_KEYS),
            time_limit_bootstrap=True,  # without it, skrl's advantages continue into the next episode
            **_build_schedule(ppo, updates=env_steps // (num_envs * ppo.rollouts)),
            observation_preprocessor=RunningStandardScaler,
            observation_preprocessor_kwargs={"size": spaces.observation_space, "device": device},
            value_preprocessor=RunningStandardScaler,
            value_preprocessor_kwargs={"size": 1, "device": device},
            experiment={"write_interval": 0, "checkpoint_interval": 0},  # Recorder writes the output instead
        ),
    )
    agent.init()
    torch.set_autocast_dtype(agent.device.type, torch.bfloat16)  # the default on a GPU is float16
    agent.scaler = GradScaler(enabled=False)  # bfloat16 has float32's range: gradients do not underflow
    for group in agent.optimizer.param_groups:
        group["fused"] = True
    return agent


def _build_schedule(ppo: Ppo, updates: int) -> dict[str, Any]:
    """Return the learning-rate schedule as fields of PPO_CFG. skrl steps a schedule once per learning epoch."""
    match ppo.learning_rate_schedule:
        case "linear":  # down to 1 %
            epochs = max(1, updates * ppo.learning_epochs)
            kwargs = {"start_factor": 1.0, "end_factor": 0.01, "total_iters": epochs}
            return {"learning_rate_scheduler": LinearLR, "learning_rate_scheduler_kwargs": kwargs}
        case "kl":
            kwargs = {"kl_threshold": ppo.kl_target}
            return {"learning_rate_scheduler": KLAdaptiveLR, "learning_rate_scheduler_kwargs": kwargs}
    return {}


def read_initial_rate(optimizer: torch.optim.Optimizer) -> float:
    """Return the learning rate before any schedule."""
    group = optimizer.param_groups[0]
    return float(group.get("initial_lr", group["lr"]))


def read_applied_settings(agent: PPO) -> dict[str, Any]:
    """Return the settings that a new agent actually uses, read from its components: every key of conf/ppo, and sizes.

    Raises:
        AttributeError: A key has no counterpart in the agent, so that it would have no effect.
    """
    ppo = {key: READ_BACK.get(key, attrgetter(f"cfg.{key}"))(agent) for key in Ppo.model_fields}
    return ppo | {
        "policy_hidden_layer_sizes": read_hidden_sizes(agent.policy),
        "value_hidden_layer_sizes": read_hidden_sizes(agent.value),
        "num_envs": agent.memory.num_envs,
    }


@torch.no_grad()
def compute_mean_action(agent: PPO, observation: Tensor) -> Tensor:
    """Compute the policy's deterministic action (E, J) for observations (E, N)."""
    action: Tensor = agent.policy.net(agent._observation_preprocessor(observation))
    return action


class MeanAction(nn.Module):
    """``compute_mean_action`` as a module of its own, which torch can export.

    Args:
        agent: Shares its observation scaler and its policy's network.
    """

    def __init__(self, agent: PPO) -> None:
        super().__init__()
        self.scaler, self.net = agent._observation_preprocessor, agent.policy.net

    def forward(self, observation: Tensor) -> Tensor:
        """Compute actions (E, J) for observations (E, N)."""
        action: Tensor = self.net(self.scaler(observation))
        return action


def save_checkpoint(agent: PPO, path: Path) -> bytes:
    """Write networks, scalers and optimizer atomically. Returns the content of the file."""
    content = io.BytesIO()
    torch.save({name: module.state_dict() for name, module in agent.checkpoint_modules.items()}, content)
    write_atomically(path, content.getvalue())
    return content.getvalue()


def load_checkpoint(agent: PPO, path: Path, *, optimizer: bool = True) -> None:
    """Load networks and scalers, and with ``optimizer=True`` the optimizer, including its learning rate.

    Reads tensors only: no code in the file is executed.

    Raises:
        ConfigError: The file is not a checkpoint of this agent.
    """
    try:
        modules = torch.load(path, map_location=agent.device, weights_only=True)
        for name, module in agent.checkpoint_modules.items():
            if optimizer or name != "optimizer":
                module.load_state_dict(modules[name])
    except Exception as error:  # torch raises many exception types for a bad file; they mean the same to the user
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ConfigError(f"{path}: not a checkpoint of this agent ({reason})") from error
