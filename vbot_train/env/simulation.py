"""Batched MuJoCo simulation on a thread pool.

A simulation steps E robots and provides their state as torch tensors. Another back end, for example on a GPU,
implements the same ``Simulation`` protocol as ``MujocoSimulation``.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import mujoco
import numpy as np
import torch
from mujoco.rollout import Rollout
from torch import Tensor

from vbot_train.env.body_params import BodyParams
from vbot_train.env.randomized_models import RandomizedModels

ROBOT_XML = Path(__file__).parent / "assets" / "vbot.xml"
PIECES = 10  # chunks per thread, at most
WORTH_HANDING_OUT = 16  # minimum chunk size [robots]
_POSE = 7  # size of the free base's pose: position (3) and quaternion (4, w first)
MEASURED = ("qpos", "qvel", "torque", "base_contact")  # the state tensors of a simulation
_FULL = mujoco.mjtState.mjSTATE_FULLPHYSICS


class Simulation(Protocol):
    """E robots, one control step at a time. All tensors are float32 and live on ``device``; J = 12 joints."""

    num_envs: int
    device: torch.device
    qpos: Tensor  # (E, 7 + J): base position [m], base quaternion (w first), joint angles [rad]
    qvel: Tensor  # (E, 6 + J): base velocity [m/s] (world), base angular velocity [rad/s] (body), joints [rad/s]
    torque: Tensor  # (E, J) [N m]
    base_contact: Tensor  # (E,) bool
    standing_joint_pos: Tensor  # (J,) [rad]
    standing_height_m: float

    def place(self, index: Tensor, qpos: Tensor) -> None:
        """Place the robots at ``index`` (K,) at rest in the pose ``qpos`` (K, 7 + J)."""

    def step(self, joint_target: Tensor) -> None:
        """Advance all robots by one control step towards ``joint_target`` (E, J) [rad]."""

    def set_body_params(self, index: Tensor, dynamics: BodyParams) -> None:
        """Set the body parameters of the robots at ``index`` (K,), which stay until they are set again."""

    def kick(self, index: Tensor, velocity: Tensor) -> None:
        """Add the horizontal ``velocity`` (K, 2) [m/s], world frame, to the bases of the robots at ``index`` (K,)."""

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of everything that the next control steps depend on: tensors, and mappings of tensors."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the result of ``state_dict`` of a simulation of the same kind and size."""


class MujocoSimulation:
    """``Simulation`` on ``mujoco.rollout``'s thread pool.

    The result for a robot does not depend on the number of threads.

    Args:
        num_envs: Number of robots E.
        physics_dt_s: Time step of the physics [s].
        physics_steps: Physics steps per control step.
        threads: Number of physics threads.
    """

    def __init__(self, num_envs: int, *, physics_dt_s: float, physics_steps: int, threads: int) -> None:
        mujoco.set_mju_user_warning(_no_log_file)
        self.num_envs = num_envs
        self.device = torch.device("cpu")
        self._model = mujoco.MjModel.from_xml_path(str(ROBOT_XML))
        self._model.opt.timestep = physics_dt_s
        self._bodies = RandomizedModels(self._model, num_envs)
        self._steps = physics_steps
        self._rollout = Rollout(nthread=threads if threads > 1 else 0)
        self._chunk = choose_chunk_size(num_envs, threads)
        self._data = [mujoco.MjData(self._model) for _ in range(threads)]

        home = self._model.key_qpos[0]
        self.standing_joint_pos = torch.tensor(home[_POSE:], dtype=torch.float32)
        self.standing_height_m = float(home[2])
        size = mujoco.mj_stateSize(self._model, _FULL)
        self._state = np.zeros((num_envs, size))
        self._state[:, 1 : 1 + self._model.nq] = home
        self._trajectory = np.zeros((num_envs, physics_steps, size))
        self._sensors = np.zeros((num_envs, physics_steps, self._model.nsensordata))
        self._control = np.zeros((num_envs, physics_steps, self._model.nu))
        self._read()

    @torch.inference_mode()
    def place(self, index: Tensor, qpos: Tensor) -> None:
        """Place the robots at ``index`` (K,) at rest in the pose ``qpos`` (K, 7 + J)."""
        rows = index.numpy()
        self._state[rows] = 0.0
        self._state[rows, 1 : 1 + self._model.nq] = qpos.numpy()
        self.qpos[index] = qpos
        self.qvel[index] = 0.0
        self.torque[index] = 0.0
        self.base_contact[index] = False

    def step(self, joint_target: Tensor) -> None:
        """Advance all robots by one control step towards ``joint_target`` (E, J) [rad]."""
        self._control[:] = joint_target.unsqueeze(1).numpy()
        self._rollout.rollout(
            self._bodies.models,
            self._data,
            self._state,
            self._control,
            skip_checks=True,
            nstep=self._steps,
            chunk_size=self._chunk,
            state=self._trajectory,
            sensordata=self._sensors,
        )
        self._state[:] = self._trajectory[:, -1]
        self._read()

    def set_body_params(self, index: Tensor, dynamics: BodyParams) -> None:
        """Set the body parameters of the robots at ``index`` (K,), which stay until they are set again."""
        self._bodies.set(index, dynamics)

    @torch.inference_mode()
    def kick(self, index: Tensor, velocity: Tensor) -> None:
        """Add the horizontal ``velocity`` (K, 2) [m/s], world frame, to the bases of the robots at ``index`` (K,)."""
        first = 1 + self._model.nq  # index of the first velocity in the state vector
        self._state[index.numpy(), first : first + 2] += velocity.numpy()
        self.qvel[index, :2] += velocity

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of everything that the next control steps depend on."""
        own = {name: getattr(self, name).clone() for name in MEASURED}
        return {"state": torch.from_numpy(self._state).clone(), "bodies": self._bodies.state_dict(), **own}

    @torch.inference_mode()
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the result of ``state_dict`` of a simulation of the same size."""
        self._bodies.load_state_dict(state["bodies"])
        torch.from_numpy(self._state).copy_(state["state"])
        for name in MEASURED:  # not recomputed from MuJoCo's state: kick() adds to both, in different precision
            getattr(self, name).copy_(state[name])

    def _read(self) -> None:
        """Copy state and sensors from MuJoCo's float64 arrays. The state vector is (time, qpos, qvel)."""
        nq = self._model.nq
        state = torch.from_numpy(self._state).float()
        sensors = torch.from_numpy(self._sensors)  # (E, physics steps, 2 contacts + J torques)
        self.qpos = state[:, 1 : 1 + nq]
        self.qvel = state[:, 1 + nq :]
        self.base_contact = (sensors[:, :, :2] > 0).flatten(1).any(dim=1)
        self.torque = sensors[:, -1, 2:].float()


def choose_chunk_size(robots: int, threads: int) -> int:
    """Compute the number of robots that a thread takes at a time.

    This is a tenth of a thread's share, as MuJoCo itself chooses, so that no thread waits long for the last one. With
    few robots, as in an evaluation, there are fewer chunks, because dispatching a chunk has a cost (LOG.md,
    2026-11-25).
    """
    share = math.ceil(robots / threads)
    pieces = max(1, min(PIECES, share // WORTH_HANDING_OUT))
    return math.ceil(share / pieces)


def _no_log_file(text: str) -> None:
    """Ignore a warning, which MuJoCo would write to MUJOCO_LOG.TXT; the task counts unstable robots itself."""
