"""What a policy of the navigation task reads and commands, in numbers, for whoever runs it outside of this project.

Robot and control have the field names of MotrixLab's deployment manifest ``motrix-deploy/v1``.
"""

from itertools import accumulate
from typing import Any

import mujoco

from vbot_train.config.tasks import Navigation
from vbot_train.env.observations import LAYOUT
from vbot_train.env.simulation import ROBOT_XML

TARGET = "joint position target = default_joint_position + scale_rad * smoothed [rad]"
SMOOTHED = "smoothed = (1 - smoothing) * clipped action + smoothing * smoothed of the last control step, 0 at the start"
TORQUE = "torque = kp * (joint position target - joint position) - kd * joint velocity [N m]"


def describe_interface(config: Navigation) -> dict[str, Any]:
    """Describe observation, action, robot and control of a task, in plain containers.

    Args:
        config: One option of ``conf/env/``.
    """
    model = mujoco.MjModel.from_xml_path(str(ROBOT_XML))
    return {
        "observation": describe_observation(),
        "action": describe_action(config, model),
        "robot": describe_robot(model),
        "control": {"period_s": config.control_dt_s, "mode": "joint_servo"},
    }


def describe_observation() -> list[dict[str, Any]]:
    """Describe the parts of the observation, in its order; ``slice`` is [first, last + 1]."""
    ends = list(accumulate(part.size for part in LAYOUT))
    return [
        {
            "name": part.name,
            "slice": [end - part.size, end],
            "unit": part.unit,
            "scale": part.scale,
            "meaning": part.meaning,
        }
        for part, end in zip(LAYOUT, ends, strict=True)
    ]


def describe_action(config: Navigation, model: mujoco.MjModel) -> dict[str, Any]:
    """Describe how an action (J,) becomes joint torques, J joints in the order of the robot's ``joint_names``."""
    return {
        "clip": [-1.0, 1.0],
        "smoothing": config.action.smoothing,
        "scale_rad": config.action.scale_rad,
        "kp": model.actuator_gainprm[:, 0].tolist(),  # [N m/rad]
        "kd": (-model.actuator_biasprm[:, 2]).tolist(),  # [N m s/rad]
        "meaning": [SMOOTHED, TARGET, TORQUE],
    }


def describe_robot(model: mujoco.MjModel) -> dict[str, Any]:
    """Describe the J actuated joints, in the order of the actions: positions [rad] and torques [N m]."""
    joints = model.actuator_trnid[:, 0]
    lower, upper = model.jnt_range[joints].T.tolist()
    return {
        "base_link_name": model.body(model.jnt_bodyid[0]).name,
        "joint_names": [model.joint(joint).name for joint in joints],
        "default_joint_position": model.key_qpos[0, model.jnt_qposadr[joints]].tolist(),
        "position_lower": lower,
        "position_upper": upper,
        "torque_limit": model.actuator_forcerange[:, 1].tolist(),
    }
