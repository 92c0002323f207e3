"""Transformations between the world frame, the body frame and the heading frame.

All functions process E robots at once. The columns of a rotation matrix are the body's axes (forward, left, up) in the
world frame. Its shape is (3, 3, E), robots last: on a CPU, half of the task's time is the overhead of small operations,
which are fastest on rows of robots (LOG.md, 2026-11-24).
"""

from functools import cache

import torch
from torch import Tensor

_ENTRIES = (  # entries of the rotation matrix, row by row, as sums of products of the unit quaternion's w, x, y, z
    {"ww": 1, "xx": 1, "yy": -1, "zz": -1},
    {"xy": 2, "wz": -2},
    {"xz": 2, "wy": 2},
    {"xy": 2, "wz": 2},
    {"ww": 1, "xx": -1, "yy": 1, "zz": -1},
    {"yz": 2, "wx": -2},
    {"xz": 2, "wy": -2},
    {"yz": 2, "wx": 2},
    {"ww": 1, "xx": -1, "yy": -1, "zz": 1},
)


def compute_rotation(quat: Tensor) -> Tensor:
    """Compute rotation matrices (3, 3, E) from unit quaternions (E, 4), w first."""
    parts = quat.T.contiguous()
    products = (parts.unsqueeze(0) * parts.unsqueeze(1)).flatten(0, 1)
    return (_from_products(quat.device) @ products).view(3, 3, -1)


@cache
def _from_products(device: torch.device) -> Tensor:
    """Return the matrix (9, 16) that maps the 16 products of quaternion components to the 9 rotation entries."""
    matrix = torch.zeros(9, 4, 4)
    for entry, parts in enumerate(_ENTRIES):
        for product, factor in parts.items():
            matrix[entry, "wxyz".index(product[0]), "wxyz".index(product[1])] = factor
    return matrix.flatten(1).to(device)


def to_body_frame(rotation: Tensor, vector: Tensor) -> Tensor:
    """Transform world-frame vectors (E, 3) to the body frames. Returns (E, 3)."""
    return (rotation * vector.T.unsqueeze(1)).sum(dim=0).T


def compute_projected_gravity(rotation: Tensor) -> Tensor:
    """Compute the world direction (0, 0, -1) in the body frames. Returns (E, 3)."""
    return -rotation[2].T


def compute_goal_error(position: Tensor, rotation: Tensor) -> Tensor:
    """Compute goal minus base in the heading frames; the goal is the origin. Returns (E, 2) [m].

    Args:
        position: (E, 2) or (E, 3) [m], world frame.
        rotation: (3, 3, E)
    """
    x, y = position[:, 0], position[:, 1]
    cos, sin = rotation[0, 0], rotation[1, 0]  # of the yaw; both are scaled down if the robot is tilted
    tilt = torch.hypot(cos, sin).clamp(min=1e-12)
    return torch.stack([-(cos * x + sin * y) / tilt, (sin * x - cos * y) / tilt], dim=1)


def compute_bearing(error: Tensor) -> Tensor:
    """Compute the bearing of an error (E, 2) in the heading frame. Returns (E,) [rad] in [-pi, pi], 0 is ahead."""
    return torch.atan2(error[:, 1], error[:, 0])
