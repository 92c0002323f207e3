"""Random start poses of episodes."""

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor


@dataclass(frozen=True, slots=True)
class Spawn:
    """Start poses on a ring around the goal, which lies at the origin.

    Args:
        min_radius_m: Inner radius of the ring [m].
        max_radius_m: Outer radius of the ring [m].
        joint_noise_rad: Largest initial offset of a joint angle from the standing pose [rad].
    """

    min_radius_m: float
    max_radius_m: float
    joint_noise_rad: float

    def sample(self, count: int, generator: Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Draw ``count`` start poses.

        Returns:
            Horizontal position (count, 2) [m], uniform over the ring's area; yaw (count,) [rad], uniform;
            joint offsets from the standing pose (count, 12) [rad], uniform.
        """
        draws = torch.rand(count, 15, generator=generator)
        inner, outer = self.min_radius_m**2, self.max_radius_m**2
        radius = torch.sqrt(inner + (outer - inner) * draws[:, 0])
        angle = 2 * math.pi * draws[:, 1]
        position = torch.stack([radius * torch.cos(angle), radius * torch.sin(angle)], dim=1)
        yaw = 2 * math.pi * draws[:, 2] - math.pi
        joints = self.joint_noise_rad * (2 * draws[:, 3:] - 1)
        return position, yaw, joints
