"""The task: walk to the centre of the platform without falling."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Generator, Tensor

from vbot_train.config.reward_terms import Reward
from vbot_train.config.tasks import Navigation
from vbot_train.env import observations, terminations
from vbot_train.env.episodes import RunningEpisodes, Step
from vbot_train.env.interface import describe_interface
from vbot_train.env.randomization import Randomization
from vbot_train.env.reset_pool import ResetPool
from vbot_train.env.rewards import Rewards
from vbot_train.env.simulation import ROBOT_XML, Simulation
from vbot_train.env.state import History, RobotState, build_state


class NavigationEnv:
    """Walk from a ring around the goal to its centre without falling. E robots in one process.

    **Observation**, (E, 54), scaled to order one. The heading frame is the world frame rotated by the robot's yaw.

    | index | quantity                                                          | scale        |
    |-------|-------------------------------------------------------------------|--------------|
    | 0-2   | base linear velocity, body frame [m/s]                            | x 2          |
    | 3-5   | base angular velocity, body frame [rad/s]                         | x 0.25       |
    | 6-8   | projected gravity, body frame                                     | x 1          |
    | 9-20  | joint position - standing pose [rad]                              | x 1          |
    | 21-32 | joint velocity [rad/s]                                            | x 0.05       |
    | 33-44 | smoothed action of the last control step                          | x 1          |
    | 45-47 | velocity command: forward, left [m/s], yaw rate [rad/s]           | x 2, 2, 0.25 |
    | 48-49 | goal - base, heading frame [m]                                    | / 12         |
    | 50    | bearing of the goal [rad]                                         | / pi         |
    | 51    | distance to the goal [m], at most 12                              | / 12         |
    | 52    | inside the goal radius                                            |              |
    | 53    | inside the goal radius and turning slower than 0.05 rad/s         |              |

    **Action**, (E, 12), clipped to [-1, 1] and smoothed, ``a' = (1 - s) a + s a'``; joint target =
    standing pose + ``scale_rad`` * a' [rad], joints in the order FR, FL, RR, RL x hip, thigh, calf.

    **Randomized at reset**: position on the ring, yaw, joint angles. With ``randomization`` on in the config
    (section001_robust), also the feet's friction, the trunk's payload and centre of mass, and the motors' strength; and
    during the episode pushes, action latency, and noise on observations 0-32, which does not affect rewards,
    terminations and metrics.

    **Terminated** when the trunk tilts more than 75 degrees or (with the head) touches the ground, when the robot
    leaves the platform, or when it becomes unstable (physics or action not finite, or a joint faster than
    100 rad/s). An unstable robot gets the termination term like any fall, no other reward term at that step, and is
    counted in ``unstable_robots``.
    **Truncated** after 10 s. **Success**: was inside the goal radius and never fell or left.

    **Intended differences from the predecessor**:

    - velocity and goal error in the robot's own frame, and the bearing instead of the yaw: the task looks the same
      from every side and need not be learned separately for each direction;
    - control at 50 Hz instead of 100 Hz: half the inference and half the samples for the same simulated time;
    - a ``position`` actuator with implicit integration: the explicit PD controller is unstable in the air;
    - actions clipped to [-1, 1] and scaled by 0.75 rad, instead of unbounded and scaled by 0.25 rad: the same range at
      three standard deviations, and a bounded action space for any learner;
    - smoothing factor 0.5 per 20 ms instead of 0.7 per 10 ms: approximately the same lag, since 0.7 x 0.7 = 0.49;
    - only the collision shapes that touch the ground first, pyramidal cones and impratio 1: faster, and stable with
      few solver iterations;
    - robots start on their feet with up to 0.05 rad of joint noise, instead of in a fixed pose 0.2 m above the ground:
      the robot need not learn to land, and no two starts are equal;
    - an episode lasts its full 10 s instead of ending after half a second at the goal: not falling counts;
    - a fall means that the trunk or the head touches the ground, or that the robot is upside down: the original sensor
      also counts the feet, and its tilt check accepts a robot on its back; leaving the platform ends the episode;
    - bonuses and the stop budget are reset in every episode: the predecessor gave them once per training.

    Args:
        config: One option of ``conf/env/``.
        reward: One option of ``conf/reward/``: for each term a weight and its kernel's arguments.
        simulation: The simulation that steps the robots, with the config's time steps.
        seed: Seed of the start states and of domain randomization.
    """

    observation_size = observations.SIZE
    robot_xml = ROBOT_XML

    def __init__(self, config: Navigation, reward: Reward, *, simulation: Simulation, seed: int) -> None:
        self.config = config
        self.reward_terms = reward.list_terms()
        self.simulation = simulation
        self.num_envs = num_envs = simulation.num_envs
        self.device = simulation.device
        self.action_size = len(simulation.standing_joint_pos)
        self.control_dt_s = config.control_dt_s
        self.max_steps = round(config.control_steps)
        self.start_range_m = (config.spawn.min_radius_m, config.spawn.max_radius_m)
        self.unstable_robots = 0
        self._generator = Generator().manual_seed(seed)  # on the CPU, so that all devices have the same starts
        self._randomization = Randomization(
            config.randomization,
            num_envs=num_envs,
            control_dt_s=self.control_dt_s,
            generator=self._generator,
        )
        self._starts = ResetPool(
            config, simulation=self.simulation, randomization=self._randomization, generator=self._generator
        )
        self._rewards = Rewards(self.reward_terms, self.control_dt_s, self.device)
        self._all = torch.arange(num_envs, device=self.device)
        self._allocate()

    def _allocate(self) -> None:
        self._episode = RunningEpisodes(self.num_envs, len(self.reward_terms), self.control_dt_s, self.device)
        joints = torch.zeros(self.num_envs, self.action_size, device=self.device)
        self._action, self._prev_action, self._prev_joint_vel = joints, joints.clone(), joints.clone()
        nobody = torch.zeros(self.num_envs, dtype=torch.bool, device=self.device)
        self._no_episodes = self._episode.sum_up(self._all[:0], fell=nobody, left=nobody)  # for most control steps

    @torch.inference_mode()
    def reset(self, *, seed: int | None = None, stagger: bool = False, robots: Tensor | None = None) -> Tensor:
        """Start new episodes for all robots or for a subset.

        Args:
            seed: New seed of the generator; None continues with its current state.
            stagger: Start the episodes of all robots at random ages, so that they do not all end at the same step.
            robots: Index (K,) of the robots to reset; None means all.

        Returns:
            (K, 54) observations of the reset robots.
        """
        if seed is not None:
            self._generator.manual_seed(seed)
            self._starts.clear()
        observation = self._start(self._all if robots is None else robots)
        if stagger:
            ages = torch.randint(self.max_steps, (self.num_envs,), generator=self._generator)
            self._episode.first_step = ages.to(self.device)
            self._episode.steps = self._episode.first_step.clone()
        return observation

    @torch.inference_mode()
    def step(self, action: Tensor) -> Step:
        """Advance every robot by one control step; robots whose episode ends are reset.

        Args:
            action: (E, 12), clipped to [-1, 1].
        """
        unstable = self._contain_unstable(self._act(action))
        self._episode.steps += 1
        state = self._state()
        self._episode.note_progress(state)
        fell, left = self._find_failures(state, unstable)
        state.terminated = fell | left
        truncated = (self._episode.steps >= self.max_steps) & ~state.terminated
        terms = torch.where(unstable, self._rewards.failure, self._rewards(state))
        self._episode.returns += terms
        self._episode.distance = torch.where(unstable, self._episode.distance, state.goal_distance)
        final = self._observe(state)
        ended = (state.terminated | truncated).nonzero().squeeze(1)
        episodes = self._episode.sum_up(ended, fell, left) if len(ended) else self._no_episodes
        return Step(
            observation=self._restart(ended, final),
            final_observation=final,
            reward=terms.sum(dim=0),
            terminated=state.terminated,
            truncated=truncated,
            episodes=episodes,
        )

    @property
    def poses(self) -> Tensor:
        """Poses of the robots, (E, 7 + J), as in ``Simulation.qpos``."""
        return self.simulation.qpos

    def describe_interface(self) -> dict[str, Any]:
        """Describe observation, action, robot and control, in plain containers; see ``interface``."""
        return describe_interface(self.config)

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of everything that the next control steps depend on, tensors and plain data."""
        return {
            "episode": self._episode.state_dict(),
            "action": self._action.clone(),  # earlier actions are overwritten before they are read
            "unstable_robots": self.unstable_robots,
            "generator": self._generator.get_state(),
            "randomization": self._randomization.state_dict(),
            "starts": self._starts.state_dict(),
            "simulation": self.simulation.state_dict(),
        }

    @torch.inference_mode()
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the result of ``state_dict`` of a task with the same config and size; next steps are identical."""
        self._episode.load_state_dict(state["episode"])
        self._action.copy_(state["action"])
        self.unstable_robots = state["unstable_robots"]
        self._generator.set_state(state["generator"])
        self._randomization.load_state_dict(state["randomization"], self.device)
        self._starts.load_state_dict(state["starts"])
        self.simulation.load_state_dict(state["simulation"])

    def _act(self, action: Tensor) -> Tensor:
        """Smooth the action and step the physics. Returns (E,) bool, True where the action was finite."""
        params = self.config.action
        valid = is_finite(action)
        self._prev_action = self._action
        self._action = torch.lerp(action.nan_to_num().clamp(-1.0, 1.0), self._action, params.smoothing)
        self._prev_joint_vel = self.simulation.qvel[:, 6:].clone()  # some simulations update their tensors in place
        self._randomization.push(self.simulation)
        action = self._randomization.delayed(self._action)
        self.simulation.step(self.simulation.standing_joint_pos + params.scale_rad * action)
        return valid

    def _contain_unstable(self, valid: Tensor) -> Tensor:
        """Find robots with unstable physics or an invalid action, and place them in a start pose. Returns (E,) bool."""
        qpos, qvel = self.simulation.qpos, self.simulation.qvel
        slow = qvel[:, 6:].abs().amax(dim=1) <= self.config.max_joint_speed_rad_s
        unstable = ~(is_finite(qpos) & is_finite(qvel) & slow & valid)
        if unstable.any():
            index = unstable.nonzero().squeeze(1)
            self.unstable_robots += len(index)
            self.simulation.place(index, self._starts.take(len(index)).pose)
            self._prev_joint_vel = torch.where(unstable.unsqueeze(1), 0.0, self._prev_joint_vel)
        return unstable

    def _find_failures(self, state: RobotState, unstable: Tensor) -> tuple[Tensor, Tensor]:
        """Compute which robots fell and which left the platform. Returns two (E,) bool."""
        tilted = terminations.is_tilted(state, max_tilt_deg=self.config.max_tilt_deg)
        left = terminations.is_off_platform(state, platform_radius_m=self.config.platform_radius_m)
        return unstable | tilted | terminations.is_touching(state), left & ~unstable

    def _state(self) -> RobotState:
        """Build the current state of the robots, before terminations of this control step are evaluated."""
        episode = self._episode
        arrived = episode.arrival_step >= 0
        history = History(
            action=self._action,
            prev_action=self._prev_action,
            prev_joint_vel=self._prev_joint_vel,
            distance=episode.distance,
            start_distance=episode.start_distance,
            arrived=arrived,
            arrived_for_s=(episode.steps - episode.arrival_step) * self.control_dt_s * arrived,
            fenced=episode.fenced,
        )
        standing = self.simulation.standing_joint_pos
        return build_state(self.simulation, history, config=self.config, standing_joint_pos=standing)

    def _observe(self, state: RobotState) -> Tensor:
        return observations.observe(self._randomization.with_observation_noise(state))

    def _restart(self, index: Tensor, final: Tensor) -> Tensor:
        """Start new episodes of the robots at ``index``. Returns the observations of all robots (E, 54)."""
        if len(index) == 0:
            return final
        observation = final.clone()
        observation[index] = self._start(index)
        return observation

    def _start(self, index: Tensor) -> Tensor:
        """Start new episodes of the robots at ``index`` (K,). Returns their observations (K, 54)."""
        start = self._starts.take(len(index))
        self.simulation.place(index, start.pose)
        self._randomization.begin(self.simulation, index)
        self._episode.begin(index, start.goal_distance, start.goal_bearing)
        for rows in (self._action, self._prev_action, self._prev_joint_vel):
            rows[index] = 0.0
        return start.observation


def is_finite(rows: Tensor) -> Tensor:
    """Check which rows (E, N) contain only finite numbers, by their sum. Returns (E,) bool."""
    return rows.sum(dim=1).isfinite()
