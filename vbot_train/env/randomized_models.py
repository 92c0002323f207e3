"""MuJoCo models of robots that differ in their dynamics."""

import copy
from collections.abc import Mapping

import mujoco
import torch
from torch import Tensor

from vbot_train.env.body_params import BodyParams

_TRUNK = 1  # body 0 is the world


class RandomizedModels:
    """A model per robot. Until the first robot is given a body of its own, all share one.

    Sharing is cheaper: models of their own take 170 KB per robot and make the physics about a fifth slower (512 and
    2048 robots, one thread), as each must come from memory. Sharing 64 or 256 of them gained half of that, at best.

    Args:
        nominal: The model that bodies depart from.
        num_envs: Number of robots E.
    """

    def __init__(self, nominal: mujoco.MjModel, num_envs: int) -> None:
        self.models = [nominal] * num_envs
        self._nominal = nominal
        self._scratch: mujoco.MjData | None = None
        self._given: dict[int, tuple[float, ...]] = {}  # per robot the numbers of its own body

    def set(self, index: Tensor, dynamics: BodyParams) -> None:
        """Give the robots at ``index`` (K,) other bodies."""
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
        """Who has a body of its own, (K,) robots, and which: (K, 6) friction, payload, offset (3), motor strength."""
        robots = sorted(self._given)
        rows = torch.tensor([self._given[robot] for robot in robots], dtype=torch.float64).reshape(-1, 6)
        return {"robots": torch.tensor(robots, dtype=torch.long), "numbers": rows}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Give the robots the bodies that ``state_dict`` told."""
        if len(state["robots"]):
            friction, payload, *offset, strength = state["numbers"].unbind(dim=1)
            self.set(state["robots"], BodyParams(friction, payload, torch.stack(offset, dim=1), strength))

    def _put_on_ground(self, model: mujoco.MjModel, friction: float) -> None:
        """MuJoCo takes the larger of two geoms' frictions: with equal ones it is theirs, below the nominal one too."""
        model.geom_friction[:, 0] = friction

    def _load(self, model: mujoco.MjModel, payload_kg: float, com_offset_m: list[float]) -> None:
        """Change the trunk's mass, and what MuJoCo derives from it.

        The derived quantities are the solver's weights of contacts and friction losses (``body_invweight0``,
        ``dof_invweight0``) and the subtrees' masses. Without them contacts of a loaded robot would be softer than
        those of the same robot read from a file. They cost 23 us, at one reset per robot and episode. What is
        computed on the way goes into data of its own, so that no robot's state is touched.
        """
        model.body_mass[_TRUNK] = self._nominal.body_mass[_TRUNK] + payload_kg
        model.body_ipos[_TRUNK] = self._nominal.body_ipos[_TRUNK] + com_offset_m
        mujoco.mj_setConst(model, self._scratch)

    def _motorize(self, model: mujoco.MjModel, strength: float) -> None:
        """Scale the motors' gains (kp and kv) and both of their force limits."""
        for name in ("actuator_gainprm", "actuator_biasprm", "actuator_forcerange", "jnt_actfrcrange"):
            getattr(model, name)[:] = strength * getattr(self._nominal, name)
