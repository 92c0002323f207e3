"""Start states of episodes, drawn in batches in advance.

Of 512 robots, about one ends its episode per control step. The cost of a start is mostly torch's overhead per small
operation, so a batch of a thousand starts costs little more than a single one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields

import torch
from torch import Generator, Tensor

from vbot_train.config.tasks import Navigation
from vbot_train.env import observations
from vbot_train.env.randomization import Randomization
from vbot_train.env.simulation import Simulation
from vbot_train.env.spawn import Spawn
from vbot_train.env.state import build_state_at_rest

AHEAD = 1024  # minimum number of starts per draw


@dataclass(frozen=True, slots=True)
class Batch:
    """Start states of K episodes."""

    pose: Tensor  # (K, 7 + J), as in ``Simulation.qpos``
    observation: Tensor  # (K, N), including observation noise
    goal_distance: Tensor  # (K,) [m]
    goal_bearing: Tensor  # (K,) [rad]

    def __getitem__(self, rows: slice) -> "Batch":
        return Batch(self.pose[rows], self.observation[rows], self.goal_distance[rows], self.goal_bearing[rows])


class ResetPool:
    """Draws start states, in an order determined by the generator.

    Args:
        config: One option of ``conf/env/``.
        simulation: The simulation of the robots; only its constants are used.
        randomization: Adds the observation noise.
        generator: Random generator, on the CPU.
    """

    def __init__(
        self,
        config: Navigation,
        *,
        simulation: Simulation,
        randomization: Randomization,
        generator: Generator,
    ) -> None:
        self._config = config
        self._spawn = Spawn(**config.spawn.model_dump())
        self._joint_pos = simulation.standing_joint_pos
        self._height_m = simulation.standing_height_m
        self._randomization = randomization
        self._generator = generator
        self._ahead = self._draw(0)  # none yet

    def clear(self) -> None:
        """Discard the starts drawn in advance. Needed after the generator is reseeded."""
        self._ahead = self._ahead[:0]

    def state_dict(self) -> dict[str, Tensor]:
        """Return a copy of the starts drawn in advance."""
        return {f.name: getattr(self._ahead, f.name).clone() for f in fields(Batch)}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore the starts from the result of ``state_dict``."""
        self._ahead = Batch(**{name: rows.to(self._joint_pos.device) for name, rows in state.items()})

    def take(self, count: int) -> Batch:
        """Return the next ``count`` starts. If fewer are left, they are dropped and a new batch is drawn."""
        if count > len(self._ahead.pose):
            self._ahead = self._draw(max(count, AHEAD))
        taken, self._ahead = self._ahead[:count], self._ahead[count:]
        return taken

    def _draw(self, count: int) -> Batch:
        pose = self._draw_poses(count)
        state = build_state_at_rest(pose, config=self._config, standing_joint_pos=self._joint_pos)
        observation = observations.observe(self._randomization.with_observation_noise(state))
        return Batch(pose, observation, state.goal_distance, state.goal_bearing)

    def _draw_poses(self, count: int) -> Tensor:
        position, yaw, joints = self._spawn.sample(count, self._generator)
        height, flat = torch.full((count, 1), self._height_m), torch.zeros(count, 2)
        half = yaw.unsqueeze(1) / 2
        base = torch.cat([position, height, torch.cos(half), flat, torch.sin(half)], dim=1)
        device = self._joint_pos.device
        return torch.cat([base.to(device), self._joint_pos + joints.to(device)], dim=1)
