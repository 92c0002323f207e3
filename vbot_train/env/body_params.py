"""What differs from robot to robot where the task is randomized: the ground, the load, the motors."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True)
class BodyParams:
    """The bodies of K robots, as departures from the nominal one (friction 1, and nothing else changed)."""

    friction: Tensor  # (K,) sliding friction between the feet and the ground
    payload_kg: Tensor  # (K,) [kg] added to the trunk, at its centre of mass
    com_offset_m: Tensor  # (K, 3) [m] of the trunk's centre of mass, body frame
    motor_strength: Tensor  # (K,) factor on the motors' gains and force limits
