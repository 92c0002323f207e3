"""The body parameters that domain randomization varies between robots: friction, payload, motors."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True)
class BodyParams:
    """Body parameters of K robots, relative to the nominal robot (friction 1, everything else unchanged)."""

    friction: Tensor  # (K,) sliding friction between the feet and the ground
    payload_kg: Tensor  # (K,) [kg] added to the trunk, at its centre of mass
    com_offset_m: Tensor  # (K, 3) [m] of the trunk's centre of mass, body frame
    motor_strength: Tensor  # (K,) factor on the motors' gains and force limits
