"""MuJoCo models of robots with different body parameters."""

import copy
from collections.abc import Mapping

import mujoco
import torch
from torch import Tensor

from vbot_train.env.body_params import BodyParams

_TRUNK = 1  # body 0 is the world


class RandomizedModels:
    """One MuJoCo model per robot. All robots share one model until the first call of ``set``.

    Sharing is cheaper: separate models take 170 KB per robot and make the physics about 20 % slower (512 and 2048
    robots, one thread), because each must be loaded from memory. Sharing 64 or 256 models recovered at most half of
    that.

    Args:
        nominal: The model of the nominal robot.
        num_envs: Number of robots E.
    """

    def __init__(self, nominal: mujoco.MjModel, num_envs: int) -> None:
        self.models = [nominal] * num_envs
        self._nominal = nominal
        self._scratch: mujoco.MjData | None = None
        self._given: dict[int, tuple[float, ...]] = {}  # body parameters by robot, for robots with their own

    def set(self, index: Tensor, dynamics: BodyParams) -> None:
        """Set the body parameters of the robots at ``index`` (K,)."""
        if self._scratch is None:
            self.models = [copy.copy(self._nominal) for _ in self.models]
            self._scratch = mujoco.MjData(self._nominal)
        numbers = zip(
            dynamics.friction.tolist(),
            dynamics.payload_kg.tolist(),
            dynamics.com_offset_m.tolist(),
            dynamics.motor_strength.tolist(),
            strict=True,
        )
        for robot, (friction, payload_kg, com_offset_m, motor_strength) in zip(index.tolist(), numbers, strict=True):
            model = self.models[robot]
            self._given[robot] = (friction, payload_kg, *com_offset_m, motor_strength)
            self._put_on_ground(model, friction)
            self._load(model, payload_kg, com_offset_m)
            self._motorize(model, motor_strength)

    def state_dict(self) -> dict[str, Tensor]:
        """Return robots (K,) with own bodies, and their (K, 6) friction, payload, offset (3) and motor strength."""
        robots = sorted(self._given)
        rows = torch.tensor([self._given[robot] for robot in robots], dtype=torch.float64).reshape(-1, 6)
        return {"robots": torch.tensor(robots, dtype=torch.long), "numbers": rows}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Set the bodies from the result of ``state_dict``."""
        if len(state["robots"]):
            friction, payload, *offset, strength = state["numbers"].unbind(dim=1)
            self.set(state["robots"], BodyParams(friction, payload, torch.stack(offset, dim=1), strength))

    def _put_on_ground(self, model: mujoco.MjModel, friction: float) -> None:
        """Set the friction of all geoms, as MuJoCo uses the larger of the two frictions of a contact."""
        model.geom_friction[:, 0] = friction

    def _load(self, model: mujoco.MjModel, payload_kg: float, com_offset_m: list[float]) -> None:
        """Set the trunk's mass and centre of mass, and update the quantities that MuJoCo derives from them.

        The derived quantities are the solver's weights of contacts and friction losses (``body_invweight0``,
        ``dof_invweight0``) and the subtree masses. Without this update, contacts of a loaded robot would be softer than
        those of the same robot loaded from a file. It takes 23 us, once per robot and episode. Intermediate results go
        to a separate ``MjData``, so that no robot's state changes.
        """
        model.body_mass[_TRUNK] = self._nominal.body_mass[_TRUNK] + payload_kg
        model.body_ipos[_TRUNK] = self._nominal.body_ipos[_TRUNK] + com_offset_m
        mujoco.mj_setConst(model, self._scratch)

    def _motorize(self, model: mujoco.MjModel, strength: float) -> None:
        """Scale the motors' gains (kp and kv) and both of their force limits."""
        for name in ("actuator_gainprm", "actuator_biasprm", "actuator_forcerange", "jnt_actfrcrange"):
            getattr(model, name)[:] = strength * getattr(self._nominal, name)
