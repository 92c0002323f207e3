"""Domain randomization: body parameters, pushes, observation noise, and action latency.

All random numbers come from the task's own generator on the CPU, so that they do not depend on the physics backend. An
option that is off draws no numbers.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Generator, Tensor

from vbot_train.config.tasks import Randomization as RandomizationConfig
from vbot_train.env.body_params import BodyParams
from vbot_train.env.simulation import Simulation
from vbot_train.env.state import RobotState

SENSED = {  # noisy quantities: key of the config -> field of RobotState
    "base_lin_vel_m_s": "base_lin_vel_b",
    "base_ang_vel_rad_s": "base_ang_vel_b",
    "projected_gravity": "projected_gravity_b",
    "joint_pos_rad": "joint_pos",
    "joint_vel_rad_s": "joint_vel",
}


class Randomization:
    """Randomizes the robots' bodies, pushes, observations and action latency.

    Args:
        config: The block ``randomization`` of an option of ``conf/env/``, which documents each key.
        num_envs: Number of robots E.
        control_dt_s: Duration of a control step [s].
        generator: Random generator, on the CPU.
    """

    def __init__(
        self, config: RandomizationConfig, *, num_envs: int, control_dt_s: float, generator: Generator
    ) -> None:
        self._config = config
        self._generator = generator
        self._control_dt_s = control_dt_s
        self._bodies = bool(config.body_keys)
        self._pushes = config.pushes
        self._noise = {SENSED[key]: size for key, size in config.noise if size > 0}
        self._late: list[Tensor] = []  # actions that have not taken effect yet, oldest first
        self._until_push = torch.zeros(num_envs, dtype=torch.long)  # [control steps], on the CPU

    def begin(self, simulation: Simulation, index: Tensor) -> None:
        """Start episodes of the robots at ``index`` (K,): draw bodies and first push, clear delayed actions."""
        if self._bodies:
            simulation.set_body_params(index, self._dynamics(len(index), simulation.device))
        if self._pushes:
            robots = index.cpu()
            self._until_push[robots] = self._intervals(len(robots))
        for action in self._late:
            action[index] = 0.0

    def push(self, simulation: Simulation) -> None:
        """Push the robots that are due. Must be called before each control step."""
        if not self._pushes:
            return
        due = (self._until_push == 0).nonzero().squeeze(1)
        if len(due):
            simulation.kick(due.to(simulation.device), self._kicks(len(due)).to(simulation.device))
            self._until_push[due] = self._intervals(len(due))
        self._until_push -= 1

    def delayed(self, action: Tensor) -> Tensor:
        """Return the action (E, J) that takes effect now: that of ``latency_steps`` ago, 0 before the first one."""
        steps = self._config.latency_steps
        if steps == 0:
            return action
        if not self._late:
            self._late = [torch.zeros_like(action) for _ in range(steps)]
        self._late.append(action.clone())
        return self._late.pop(0)

    def with_observation_noise(self, state: RobotState) -> RobotState:
        """Return the state as the robots measure it, with uniform noise. Draws (E, up to 33) numbers."""
        if not self._noise:
            return state
        true = {name: getattr(state, name) for name in self._noise}
        widths = [values.shape[1] for values in true.values()]
        draws = 2 * torch.rand(len(state.base_pos), sum(widths), generator=self._generator) - 1
        noise = torch.split(draws.to(state.base_pos.device), widths, dim=1)
        pairs = zip(true.items(), noise, strict=True)
        return replace(state, **{name: values + self._noise[name] * error for (name, values), error in pairs})

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of delayed actions and push times; the simulation stores the bodies."""
        return {"late": [action.clone() for action in self._late], "until_push": self._until_push.clone()}

    def load_state_dict(self, state: Mapping[str, Any], device: torch.device) -> None:
        """Restore the result of ``state_dict``; the robots' tensors are on ``device``."""
        self._late = [action.to(device) for action in state["late"]]
        self._until_push = state["until_push"].clone()

    def _dynamics(self, count: int, device: torch.device) -> BodyParams:
        draws = torch.rand(count, 6, generator=self._generator).to(device)
        return BodyParams(
            friction=_between(self._config.friction, draws[:, 0]),
            payload_kg=_between(self._config.payload_kg, draws[:, 1]),
            com_offset_m=self._config.com_offset_m * (2 * draws[:, 2:5] - 1),
            motor_strength=_between(self._config.motor_strength, draws[:, 5]),
        )

    def _intervals(self, count: int) -> Tensor:
        """Draw times between pushes. Returns (count,) [control steps]."""
        seconds = _between(self._config.push.interval_s, torch.rand(count, generator=self._generator))
        return (seconds / self._control_dt_s).round().long()

    def _kicks(self, count: int) -> Tensor:
        """Draw pushes with uniform direction and size. Returns (count, 2) [m/s], world frame."""
        draws = torch.rand(count, 2, generator=self._generator)
        speed, angle = self._config.push.max_m_s * draws[:, 0], 2 * math.pi * draws[:, 1]
        return torch.stack([speed * torch.cos(angle), speed * torch.sin(angle)], dim=1)


def _between(ends: tuple[float, float], share: Tensor) -> Tensor:
    """Interpolate linearly between the ends of a range, at shares (K,) in [0, 1)."""
    low, high = ends
    return low + (high - low) * share
