"""The robots in MotrixSim, the engine of the predecessor, to evaluate a policy there."""

import contextlib
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree

import motrixsim
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vbot_train.config.composition import ConfigError
from vbot_train.env.body_params import BodyParams
from vbot_train.env.simulation import ROBOT_XML

# Top-level elements of the robot's file that are about MuJoCo's solver and renderer. MotrixSim would warn of most of
# them, and take for its own solver the few iterations that suffice for MuJoCo's.
NOT_FOR_MOTRIX = ("option", "visual")
TORQUE_SENSOR = "actuatorfrc"  # MotrixSim warns that it has none
CONTACT_SENSORS = ["trunk_contact", "head_contact"]


class MotrixSimulation:
    """``Simulation`` on MotrixSim, in float32, for evaluation: no pushes, no varied bodies, no saved state.

    The motors are the position actuators of the robot's file. MotrixSim integrates their damping implicitly, as MuJoCo
    does, and unlike MuJoCo also where they are at their force limit.

    Args:
        num_envs: Number of robots E.
        physics_dt_s: Time step of the physics [s].
        physics_steps: Physics steps per control step.
        threads: Number of physics threads; the first simulation of a process decides.
    """

    def __init__(self, num_envs: int, *, physics_dt_s: float, physics_steps: int, threads: int) -> None:
        start_threads(threads)
        self.num_envs = num_envs
        self.device = torch.device("cpu")
        self._model = load_robot(physics_dt_s)
        self._data = motrixsim.SceneData(self._model, (num_envs,))
        self._steps = physics_steps
        home = to_qpos(self._model.keyframes[0].dof_pos[None])
        self.standing_joint_pos = home[0, 7:]
        self.standing_height_m = home[0, 2].item()
        motors = [(motor.kp, motor.kd, motor.force_range[1]) for motor in self._model.actuators]
        self._kp, self._kd, self._limit = torch.tensor(motors).T
        self._home = home
        self._read()
        self.torque = torch.zeros(num_envs, len(motors))
        self.base_contact = torch.zeros(num_envs, dtype=torch.bool)
        self.place(torch.arange(num_envs), home.expand(num_envs, -1))

    @torch.inference_mode()
    def place(self, index: Tensor, qpos: Tensor) -> None:
        """Place the robots at ``index`` (K,) at rest in the pose ``qpos`` (K, 7 + J)."""
        self._put(index, qpos)
        self.qpos[index] = qpos
        self.qvel[index] = 0.0
        self.torque[index] = 0.0
        self.base_contact[index] = False

    def step(self, joint_target: Tensor) -> None:
        """Advance all robots by one control step towards ``joint_target`` (E, J) [rad]."""
        self._data.actuator_ctrls = np.ascontiguousarray(joint_target.numpy())
        touching, unstable = torch.zeros(2, self.num_envs, dtype=torch.bool)
        for _ in range(self._steps):
            self.torque = self._compute_torque(joint_target)
            self._model.step(self._data)
            self._read()
            touching |= self._find_base_contacts()
            unstable |= self._restore_unstable()
        self.base_contact = touching
        self.qvel[unstable] = torch.nan

    def set_body_params(self, index: Tensor, dynamics: BodyParams) -> None:
        """Raise a ConfigError: all robots have the body of the file."""
        raise ConfigError("env.randomization: simulation=motrix has one body for all robots")

    def kick(self, index: Tensor, velocity: Tensor) -> None:
        """Raise a ConfigError: pushes are not supported."""
        raise ConfigError("env.randomization.push: simulation=motrix pushes no robots")

    def state_dict(self) -> dict[str, Any]:
        """Raise a ConfigError: a training would save its state, an evaluation does not."""
        raise ConfigError("simulation=motrix: has no state to save; it evaluates only")

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Raise a ConfigError, as ``state_dict`` does."""
        raise ConfigError("simulation=motrix: has no state to restore; it evaluates only")

    def _put(self, index: Tensor, qpos: Tensor) -> None:
        """Put the engine's robots at ``index`` (K,) at rest into the pose ``qpos`` (K, 7 + J)."""
        rest = np.zeros((len(index), self._model.num_dof_vel), dtype=np.float32)
        rows = self._data[motrixsim.DisjointIndices(index.numpy())]
        rows.reset(self._model, dof_pos=to_dof_pos(qpos), dof_vel=rest)

    def _read(self) -> None:
        """Copy the state. Velocities have MuJoCo's frames: the base's linear in the world, its angular in the body."""
        self.qpos = to_qpos(self._data.dof_pos)
        self.qvel = torch.from_numpy(self._data.dof_vel)

    def _compute_torque(self, joint_target: Tensor) -> Tensor:
        """Compute what MuJoCo's sensor measures: the motors' law before the last physics step. Returns (E, J) [N m]."""
        torque = self._kp * (joint_target - self.qpos[:, 7:]) - self._kd * self.qvel[:, 6:]
        return torque.clamp(-self._limit, self._limit)

    def _find_base_contacts(self) -> Tensor:
        """Find the robots whose trunk or head touches the ground. Returns (E,) bool."""
        found = self._model.get_sensor_values(CONTACT_SENSORS, self._data)  # (E, 2) number of contacts
        return torch.from_numpy(found > 0).any(dim=1)

    def _restore_unstable(self) -> Tensor:
        """Put robots that are no longer finite into the standing pose: MotrixSim panics on them. Returns (E,) bool."""
        unstable = ~(self.qpos.isfinite().all(dim=1) & self.qvel.isfinite().all(dim=1))
        if unstable.any():
            index = unstable.nonzero().squeeze(1)
            self._put(index, self._home.expand(len(index), -1))
        return unstable


def load_robot(physics_dt_s: float) -> motrixsim.SceneModel:
    """Load the robot, without what MotrixSim does not support."""
    robot = ElementTree.parse(ROBOT_XML).getroot()
    for name in NOT_FOR_MOTRIX:
        for element in robot.findall(name):
            robot.remove(element)
    for sensors in robot.findall("sensor"):
        for sensor in sensors.findall(TORQUE_SENSOR):
            sensors.remove(sensor)
    model = motrixsim.load_mjcf_str(ElementTree.tostring(robot, encoding="unicode"))
    model.options.timestep = physics_dt_s
    return model


def start_threads(threads: int) -> None:
    """Start MotrixSim's threads, unless this process has them already: their number cannot be changed."""
    with contextlib.suppress(RuntimeError):
        motrixsim.init_thread_pool(threads)


def to_dof_pos(qpos: Tensor) -> NDArray[np.float32]:
    """Convert poses (K, 7 + J) to MotrixSim's, whose quaternion has w last."""
    position, w, vector, joints = torch.split(qpos, [3, 1, 3, qpos.shape[1] - 7], dim=1)
    return torch.cat([position, vector, w, joints], dim=1).numpy()


def to_qpos(dof_pos: NDArray[np.float32]) -> Tensor:
    """Convert MotrixSim's poses (K, 7 + J) to ours, whose quaternion has w first."""
    position, vector, w, joints = torch.split(torch.from_numpy(dof_pos), [3, 3, 1, dof_pos.shape[1] - 7], dim=1)
    return torch.cat([position, w, vector, joints], dim=1)
