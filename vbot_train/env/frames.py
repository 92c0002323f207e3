"""Frames: where a robot's axes point, and what the world looks like from there.

All functions take E robots at once. A rotation matrix holds the body's axes (forward, left, up) in the world frame as
its columns; its entries lie in (3, 3, E), robots last: on a CPU half the task's time is the overhead of small
operations, and rows of robots are what they are fastest at (LOG.md, 2026-11-24).
"""

from functools import cache

import torch
from torch import Tensor

_ENTRIES = (  # of the rotation matrix, row by row, as sums of products of the unit quaternion's w, x, y, z
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
    """Rotation matrices (3, 3, E) of unit quaternions (E, 4), w first."""
    parts = quat.T.contiguous()
    products = (parts.unsqueeze(0) * parts.unsqueeze(1)).flatten(0, 1)
    return (_from_products(quat.device) @ products).view(3, 3, -1)


@cache
def _from_products(device: torch.device) -> Tensor:
    """Turns the 16 products of a quaternion's parts into the 9 entries of its matrix. Returns (9, 16)."""
    matrix = torch.zeros(9, 4, 4)
    for entry, parts in enumerate(_ENTRIES):
        for product, factor in parts.items():
            matrix[entry, "wxyz".index(product[0]), "wxyz".index(product[1])] = factor
    return matrix.flatten(1).to(device)


def to_body_frame(rotation: Tensor, vector: Tensor) -> Tensor:
    """Turn world vectors (E, 3) into the body frames. Returns (E, 3)."""
    return (rotation * vector.T.unsqueeze(1)).sum(dim=0).T


def compute_projected_gravity(rotation: Tensor) -> Tensor:
    """The direction (0, 0, -1) of the world in the body frames. Returns (E, 3)."""
    return -rotation[2].T


def compute_goal_error(position: Tensor, rotation: Tensor) -> Tensor:
    """Goal minus base in the heading frames, the goal being the origin. Returns (E, 2) [m].

    Args:
        position: (E, 2) or (E, 3) [m], world frame.
        rotation: (3, 3, E)
    """
    x, y = position[:, 0], position[:, 1]
    cos, sin = rotation[0, 0], rotation[1, 0]  # of the yaw, both shorter if the robot is tilted
    tilt = torch.hypot(cos, sin).clamp(min=1e-12)
    return torch.stack([-(cos * x + sin * y) / tilt, (sin * x - cos * y) / tilt], dim=1)


def compute_bearing(error: Tensor) -> Tensor:
    """Bearing of an error (E, 2) in the heading frame. Returns (E,) [rad], 0 is ahead, in [-pi, pi]."""
    return torch.atan2(error[:, 1], error[:, 0])
