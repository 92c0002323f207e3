"""Arguments of the reward terms. ``env/rewards.py`` has their formulas, ``conf/reward/`` their values."""

from typing import Self

from pydantic import model_validator

from vbot_train.config.groups import ConfigGroup, Group
from vbot_train.config.key_types import Finite, fault


class Term(Group):
    """A reward term; one without arguments of its own has only its weight."""

    weight: Finite

    @property
    def arguments(self) -> dict[str, float]:
        """The keyword arguments of the term's kernel."""
        return self.model_dump(exclude={"weight"})


class PositionTracking(Term):
    """Arguments of ``position_tracking``."""

    sigma_m: Finite


class FinePositionTracking(Term):
    """Arguments of ``fine_position_tracking``."""

    sigma_m: Finite
    range_m: Finite


class HeadingTracking(Term):
    """Arguments of ``heading_tracking``."""

    sigma_rad: Finite


class ForwardVelocity(Term):
    """Arguments of ``forward_velocity``."""

    min_m_s: Finite
    max_m_s: Finite


class DistanceProgress(Term):
    """Arguments of ``distance_progress``."""

    min_share: Finite
    max_share: Finite


class Approach(Term):
    """Arguments of ``approach`` and ``approach_ahead``."""

    max_m_s: Finite


class Stopping(Term):
    """Arguments of ``stopping``."""

    max_speed_m_s: Finite
    budget_s: Finite


class ZeroTurning(Stopping):
    """Arguments of ``zero_turning``."""

    max_rad_s: Finite


class NearTargetSpeed(Term):
    """Arguments of ``near_target_speed``."""

    slope_per_s: Finite
    min_m_s: Finite
    max_m_s: Finite


class Departure(Term):
    """Arguments of ``departure``."""

    min_m_s: Finite


class Boundary(Term):
    """Arguments of ``boundary``."""

    start_radius_m: Finite


class Reward(ConfigGroup):
    """The reward: its terms by name, in the order in which they are summed.

    A term that an option of ``conf/reward/`` does not list is not used.
    """

    approach: Approach | None = None
    approach_ahead: Approach | None = None
    position_tracking: PositionTracking | None = None
    heading_tracking: HeadingTracking | None = None
    forward_velocity: ForwardVelocity | None = None
    distance_progress: DistanceProgress | None = None
    arrival_bonus: Term | None = None
    inner_fence_bonus: Term | None = None
    fine_position_tracking: FinePositionTracking | None = None
    stopping: Stopping | None = None
    zero_turning: ZeroTurning | None = None
    near_target_speed: NearTargetSpeed | None = None
    departure: Departure | None = None
    alive_bonus: Term | None = None
    termination: Term | None = None
    boundary: Boundary | None = None
    orientation: Term | None = None
    lin_vel_z: Term | None = None
    ang_vel_xy: Term | None = None
    torques: Term | None = None
    dof_vel: Term | None = None
    dof_acc: Term | None = None
    action_rate: Term | None = None

    @model_validator(mode="after")
    def _check_weights(self) -> Self:
        if not self.list_terms():
            raise fault("every weight is 0", hides_value=True)
        return self

    def list_terms(self) -> dict[str, Term]:
        """Return the terms with a weight, by name; a term of weight 0 is not computed."""
        terms = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: term for name, term in terms.items() if term is not None and term.weight != 0}
