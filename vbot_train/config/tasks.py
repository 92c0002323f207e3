"""Keys of the tasks, ``env``. ``conf/env/`` documents them; ``env/environment.py`` builds a task from its config."""

from typing import Literal, Self

from pydantic import model_validator

from vbot_train.config.groups import ConfigGroup, Group
from vbot_train.config.key_types import (
    COUNT_BOUNDS,
    Count,
    NotNegative,
    NotNegativePair,
    Positive,
    PositivePair,
    Share,
    Tilt,
    Whole,
    key_fault,
)

NOMINAL_BODY = {"friction": (1.0, 1.0), "payload_kg": (0.0, 0.0), "com_offset_m": 0.0, "motor_strength": (1.0, 1.0)}


class Spawn(Group):
    """Start states."""

    joint_noise_rad: NotNegative
    min_radius_m: NotNegative
    max_radius_m: Positive


class Action(Group):
    """From the policy's action to joint targets."""

    scale_rad: Positive
    smoothing: Share


class Push(Group):
    """Pushes of the robots."""

    max_m_s: NotNegative
    interval_s: PositivePair


class Noise(Group):
    """Noise on the observation, uniform within +- the value."""

    base_lin_vel_m_s: NotNegative
    base_ang_vel_rad_s: NotNegative
    projected_gravity: NotNegative
    joint_pos_rad: NotNegative
    joint_vel_rad_s: NotNegative


class Randomization(Group):
    """Domain randomization."""

    friction: NotNegativePair
    payload_kg: NotNegativePair
    com_offset_m: NotNegative
    motor_strength: PositivePair
    latency_steps: Whole
    push: Push
    noise: Noise

    @property
    def body_keys(self) -> list[str]:
        """Keys that give each robot a body of its own."""
        return [key for key, nominal in NOMINAL_BODY.items() if getattr(self, key) != nominal]

    @property
    def pushes(self) -> bool:
        """Whether robots are pushed."""
        return self.push.max_m_s > 0


class Env(ConfigGroup):
    """What every task has."""

    episode_length_s: Positive
    physics_dt_s: Positive
    physics_steps: Count

    @property
    def control_dt_s(self) -> float:
        """Duration of a control step [s]."""
        return self.physics_dt_s * self.physics_steps

    @property
    def control_steps(self) -> float:
        """Length of an episode [control steps], not rounded."""
        return self.episode_length_s / self.control_dt_s

    @model_validator(mode="after")
    def _check_length(self) -> Self:
        if not 0.5 < self.control_steps <= COUNT_BOUNDS.high:
            lasts = f"lasts {self.control_steps:g} control steps of {self.control_dt_s:g} s"
            at_most = f"must be at least 1 and at most {COUNT_BOUNDS.high}"
            raise key_fault("episode_length_s", self.episode_length_s, f"{lasts}; {at_most}")
        return self


class Navigation(Env):
    """Walk to the goal."""

    task: Literal["navigation"]
    goal_radius_m: Positive
    inner_fence_radius_m: Positive
    platform_radius_m: Positive
    max_tilt_deg: Tilt
    max_joint_speed_rad_s: Positive
    spawn: Spawn
    action: Action
    randomization: Randomization

    @model_validator(mode="after")
    def _check_times(self) -> Self:
        interval_s, latency = self.randomization.push.interval_s, self.randomization.latency_steps
        if interval_s[0] <= self.control_dt_s:
            given = f"[{', '.join(f'{end:g}' for end in interval_s)}]"
            longer = f"must be longer than a control step, {self.control_dt_s:g} s"
            raise key_fault("randomization.push.interval_s", given, longer)
        if latency >= self.control_steps:
            only = f"an episode has only {self.control_steps:g} control steps"
            raise key_fault("randomization.latency_steps", latency, only)
        return self

    @model_validator(mode="after")
    def _check_places(self) -> Self:
        inner, outer = self.spawn.min_radius_m, self.spawn.max_radius_m
        if inner > outer:
            raise key_fault("spawn.min_radius_m", f"{inner:g}", "more than env.spawn.max_radius_m")
        if outer >= self.platform_radius_m:
            raise key_fault("spawn.max_radius_m", f"{outer:g}", "must lie on the platform")
        return self


# The tasks. With more than one: Annotated[Navigation | Other, Field(discriminator="task")].
Task = Navigation
