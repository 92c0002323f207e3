"""MuJoCo physics on a GPU with mujoco-warp: all robots at once, in float32."""

import functools
import logging
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import mujoco
import mujoco_warp
import torch
import warp
from torch import Tensor

from vbot_train.config.composition import ConfigError
from vbot_train.env.body_params import BodyParams
from vbot_train.env.simulation import MEASURED, ROBOT_XML

log = logging.getLogger(__name__)

FIRST_GPU = "cuda:0"
MOTORS = ("actuator_gainprm", "actuator_biasprm", "actuator_forcerange", "jnt_actfrcrange")
# Model fields with separate values per robot. The quantity that MuJoCo derives from them (invweight0) keeps its nominal
# value: it only scales the softness of contacts and joint limits. ``RandomizedModels`` recomputes it, so that a loaded
# robot's contacts are slightly softer here than there.
OWN = ("geom_friction", "body_mass", "body_subtreemass", "body_ipos", *MOTORS)


class WarpSimulation:
    """``Simulation`` based on mujoco-warp.

    The tensors share memory with Warp's arrays, so every step updates ``qpos``, ``qvel`` and ``torque`` in place.

    Args:
        num_envs: Number of robots E.
        physics_dt_s: Time step of the physics [s].
        physics_steps: Physics steps per control step.
        device: None is the first GPU; ``cpu`` works, but slowly.
        nconmax: Maximum number of contacts per robot, in a buffer that all robots share.
        njmax: Maximum number of constraint rows per robot.

    Raises:
        ConfigError: The GPU does not exist.
    """

    def __init__(
        self, num_envs: int, *, physics_dt_s: float, physics_steps: int, device: str | None, nconmax: int, njmax: int
    ) -> None:
        self.num_envs = num_envs
        self._place = find_device(device)
        self.device = torch.device(warp.device_to_torch(self._place))
        robot = load_robot(physics_dt_s)
        with warp.ScopedDevice(self._place):
            self._model = mujoco_warp.put_model(robot, batch_sizes=dict.fromkeys(OWN, num_envs))
            self._data = mujoco_warp.make_data(robot, num_envs, nconmax=nconmax, njmax=njmax)
            self._sensors = warp.zeros((physics_steps, num_envs, robot.nsensordata), dtype=float)
        # The low limit of four solver iterations is intended; the robot's XML file explains why it is safe.
        self._model.opt.warn_overflow &= ~int(mujoco_warp.OverflowType.ITERATIONS)
        self._share(robot)
        self._graph = self._record()
        self.place(torch.arange(num_envs, device=self.device), self._home.expand(num_envs, -1))

    def _share(self, robot: mujoco.MjModel) -> None:
        """Create tensors that share memory with Warp's arrays."""
        self._home = torch.tensor(robot.key_qpos[0], dtype=torch.float32, device=self.device)
        self.standing_joint_pos = self._home[7:]
        self.standing_height_m = float(robot.key_qpos[0, 2])
        self.qpos: Tensor = warp.to_torch(self._data.qpos)
        self.qvel: Tensor = warp.to_torch(self._data.qvel)
        self._time: Tensor = warp.to_torch(self._data.time)
        self._control: Tensor = warp.to_torch(self._data.ctrl)
        sensors = warp.to_torch(self._sensors)  # (physics steps, E, 2 contacts + J torques)
        self._contacts, self.torque = sensors[:, :, :2], sensors[-1, :, 2:]
        self.base_contact = torch.zeros(self.num_envs, dtype=torch.bool, device=self.device)
        self._own: dict[str, Tensor] = {name: warp.to_torch(getattr(self._model, name)) for name in OWN}
        self._nominal = {name: field[0].clone() for name, field in self._own.items()}
        self._base = robot.body("base").id

    def _record(self) -> warp.Graph:
        """Capture the physics of a control step as a graph, which is cheaper to launch than single kernels."""
        with warp.ScopedDevice(self._place):
            self._advance()  # compiles and loads the kernels, which is not possible during capture
            with warp.ScopedCapture() as capture:
                self._advance()
        return capture.graph

    def _advance(self) -> None:
        """Run the physics of a control step. Like ``mujoco.rollout``, it begins without a solver warm start."""
        self._data.qacc_warmstart.zero_()
        for step in range(len(self._sensors)):
            mujoco_warp.step(self._model, self._data)
            warp.copy(self._sensors[step], self._data.sensordata)

    @torch.inference_mode()
    def place(self, index: Tensor, qpos: Tensor) -> None:
        """Place the robots at ``index`` (K,) at rest in the pose ``qpos`` (K, 7 + J)."""
        self.qpos[index] = qpos
        self.qvel[index] = 0.0
        self.torque[index] = 0.0
        self.base_contact[index] = False

    def step(self, joint_target: Tensor) -> None:
        """Advance all robots by one control step towards ``joint_target`` (E, J) [rad]."""
        self._control.copy_(joint_target)
        # Ordered with torch's work: CUDA synchronizes Warp's stream with torch's default stream, the null stream.
        warp.capture_launch(self._graph)
        self.base_contact = (self._contacts > 0).any(dim=2).any(dim=0)

    def set_body_params(self, index: Tensor, dynamics: BodyParams) -> None:
        """Set the body parameters of the robots at ``index`` (K,), which stay until they are set again."""
        friction, payload, offset, strength = (getattr(dynamics, f.name).to(self.device) for f in fields(BodyParams))
        own, nominal, base = self._own, self._nominal, self._base
        own["geom_friction"][index, :, 0] = friction[:, None]  # of all geoms, as a contact uses the larger friction
        for mass in ("body_mass", "body_subtreemass"):
            own[mass][index, base] = nominal[mass][base] + payload
        own["body_ipos"][index, base] = nominal["body_ipos"][base] + offset
        for name in MOTORS:
            own[name][index] = nominal[name] * strength[:, None, None]

    def kick(self, index: Tensor, velocity: Tensor) -> None:
        """Add the horizontal ``velocity`` (K, 2) [m/s], world frame, to the bases of the robots at ``index`` (K,)."""
        self.qvel[index, :2] += velocity.to(self.device)

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of everything that the next control steps depend on; the solver has no warm start."""
        own = {name: getattr(self, name).clone() for name in MEASURED}
        return {"time": self._time.clone(), "model": {name: field.clone() for name, field in self._own.items()}, **own}

    @torch.inference_mode()
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the result of ``state_dict`` of a simulation of the same size, on any device."""
        self._time.copy_(state["time"])
        for name, field in self._own.items():
            field.copy_(state["model"][name])
        for name in MEASURED:
            getattr(self, name).copy_(state[name])


def load_robot(physics_dt_s: float) -> mujoco.MjModel:
    """Load the robot's model, without the options that mujoco-warp does not support."""
    robot = mujoco.MjModel.from_xml_path(str(ROBOT_XML))
    robot.opt.timestep = physics_dt_s
    robot.opt.disableflags &= ~int(mujoco.mjtDisableBit.mjDSBL_AUTORESET)  # mujoco-warp does not support it
    return robot


def find_device(device: str | None) -> warp.Device:
    """Return Warp's device with this name; None is the first GPU.

    Raises:
        ConfigError: A GPU is needed, but torch or Warp cannot use one.
    """
    start_warp()
    sees = {"torch": torch.cuda.is_available(), "Warp": warp.is_cuda_available()}
    if device != "cpu" and not all(sees.values()):
        blind = " and ".join(name for name, seeing in sees.items() if not seeing)
        raise ConfigError(f"simulation=warp: {blind} found no GPU to use; simulation.device=cpu runs it slowly")
    return warp.get_device(device or FIRST_GPU)


@functools.cache
def start_warp() -> None:
    """Configure Warp, once, not to print its devices and kernels."""
    warp.config.log_level = warp.LOG_ERROR
    log.info("Warp compiles its kernels the first time, for a minute or two, and keeps them")
