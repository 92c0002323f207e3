"""What the machine allows, for ``throughput.py``: bare physics and a bare learner, in env steps/s.

Every function runs in a process of its own and takes the composed config.
"""

import math
import time
from dataclasses import dataclass

import mujoco
import numpy as np
import torch
from mujoco.rollout import Rollout
from numpy.typing import NDArray
from ours import explore, prepare, settled
from torch import Tensor, nn

from vbot_train.agent.networks import build_mlp
from vbot_train.config.composition import count_cores
from vbot_train.config.schema import Config
from vbot_train.env.observations import SIZE
from vbot_train.env.simulation import ROBOT_XML
from vbot_train.training.training_run import count_update_threads

JOINTS = 12
CHUNKS = (None, 1, 4, 16, 64)  # robots that a thread takes at a time; None: MuJoCo's own choice
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Move:
    """One control step of E robots: where they were, and where their joints were told to go."""

    state: Floats  # (E, 1 + nq + nv): time, qpos, qvel
    control: Floats  # (E, physics steps, J) [rad]


def physics(config: Config, steps: int) -> dict[str, float]:
    """Bare ``mujoco.rollout``, one call per control step, by chunk size.

    The control steps are those that the environment really took: it is watched, then they are repeated from the same
    states with the same joint targets, so that the robots stand, walk or lie as they do in training.
    """
    moves = watch_moves(config, steps)
    bare = BarePhysics(config)
    seconds, sound = dict.fromkeys(CHUNKS, 0.0), dict.fromkeys(CHUNKS, 0)
    bare.repeat(moves[0], None)  # a warm-up
    for number, move in enumerate(moves):
        first = number % len(CHUNKS)  # each goes first in its turn: the second finds the robots in the cache
        for chunk in CHUNKS[first:] + CHUNKS[:first]:
            start = time.perf_counter()
            states = bare.repeat(move, chunk)
            seconds[chunk] += time.perf_counter() - start
            sound[chunk] += bare.sound(states)
    return {str(chunk): sound[chunk] / seconds[chunk] for chunk in CHUNKS}


def watch_moves(config: Config, steps: int) -> list[Move]:
    """Let the environment's robots move, and write down what its simulation is told."""
    env, agent = prepare(config)
    observation = settled(env, agent)
    moves: list[Move] = []
    simulation, step = env.simulation, env.simulation.step

    def watched(joint_target: Tensor) -> None:
        control = joint_target.unsqueeze(1).expand(-1, config.env.physics_steps, -1)
        state = torch.cat([torch.zeros(env.num_envs, 1), simulation.qpos, simulation.qvel], dim=1)
        moves.append(Move(state.double().numpy(), control.double().contiguous().numpy()))
        step(joint_target)

    simulation.step = watched  # type: ignore[method-assign]
    for _ in range(steps):
        observation = env.step(explore(agent, observation)).observation
    return moves


class BarePhysics:
    """The robot's model on MuJoCo's thread pool, and nothing else."""

    def __init__(self, config: Config) -> None:
        mujoco.set_mju_user_warning(lambda text: None)  # broken robots are counted below
        self.model = mujoco.MjModel.from_xml_path(str(ROBOT_XML))
        self.model.opt.timestep = config.env.physics_dt_s
        self.steps = config.env.physics_steps
        self.max_joint_speed = config.env.max_joint_speed_rad_s
        threads = config.simulation.threads or count_cores()
        self.rollout = Rollout(nthread=threads if threads > 1 else 0)
        self.data = [mujoco.MjData(self.model) for _ in range(threads)]
        robots = config.training.num_envs
        self.models = [self.model] * robots
        state_size = mujoco.mj_stateSize(self.model, mujoco.mjtState.mjSTATE_FULLPHYSICS)
        self.states = np.zeros((robots, self.steps, state_size))
        self.sensors = np.zeros((robots, self.steps, self.model.nsensordata))

    def repeat(self, move: Move, chunk: int | None) -> Floats:
        """Make a move again. Returns the states after it (E, 1 + nq + nv)."""
        self.rollout.rollout(
            self.models,
            self.data,
            move.state,
            move.control,
            skip_checks=True,
            nstep=self.steps,
            state=self.states,
            sensordata=self.sensors,
            chunk_size=chunk,
        )
        return self.states[:, -1]

    def sound(self, state: Floats) -> int:
        """How many robots are whole."""
        finite = np.isfinite(state).all(axis=1)
        slow = (np.abs(state[:, -JOINTS:]) <= self.max_joint_speed).all(axis=1)
        return int((finite & slow).sum())


def learner(config: Config, updates: int) -> dict[str, float]:
    """PPO in bare torch on made-up rollouts, by precision."""
    torch.set_num_threads(count_update_threads(config))
    torch.manual_seed(config.seed)
    rates = {}
    for precision in ("fp32", "bf16"):
        bare = BareLearner(config, bf16=precision == "bf16")
        bare.learn()  # a warm-up
        start = time.perf_counter()
        for _ in range(updates):
            bare.learn()
        rates[precision] = updates * bare.rewards.numel() / (time.perf_counter() - start)
    return rates


class BareLearner:
    """The arithmetic of PPO: no scalers, no bookkeeping, no environment. T control steps of E robots per update."""

    def __init__(self, config: Config, *, bf16: bool) -> None:
        self.ppo, self.bf16 = config.ppo, bf16
        hidden = config.network.hidden_layer_sizes
        self.policy = build_mlp(SIZE, hidden, JOINTS, output_gain=0.01)
        self.value = build_mlp(SIZE, hidden, 1, output_gain=1.0)
        self.log_std = nn.Parameter(torch.full((JOINTS,), math.log(self.ppo.initial_std)))
        self.parameters = [*self.policy.parameters(), *self.value.parameters(), self.log_std]
        self.optimizer = torch.optim.Adam(self.parameters, lr=self.ppo.learning_rate, fused=True)
        shape = (self.ppo.rollouts, config.training.num_envs)
        self.seen = torch.randn(*shape, SIZE)
        self.last_seen = torch.randn(shape[1], SIZE)
        self.rewards, self.alive = torch.randn(shape), (torch.rand(shape) > 0.002).float()
        self.observations, self.actions = torch.zeros(*shape, SIZE), torch.zeros(*shape, JOINTS)
        self.log_probs, self.values = torch.zeros(shape), torch.zeros(shape)

    def learn(self) -> None:
        """One rollout and one update."""
        self.act()
        advantages = self.advantages()
        returns = advantages + self.values
        advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
        columns = (self.observations, self.actions, self.log_probs, self.values, returns, advantages)
        samples = [column.flatten(0, 1) for column in columns]
        for _ in range(self.ppo.learning_epochs):
            for index in torch.randperm(len(samples[0])).chunk(self.ppo.mini_batches):
                self.descend(*(column[index] for column in samples))

    def mean_of(self, observation: Tensor) -> Tensor:
        """Mean action (..., 12)."""
        with torch.autocast("cpu", enabled=self.bf16):
            return self.policy(observation).float()

    def value_of(self, observation: Tensor) -> Tensor:
        """Value (...)."""
        with torch.autocast("cpu", enabled=self.bf16):
            return self.value(observation).float().squeeze(-1)

    def log_prob(self, action: Tensor, mean: Tensor) -> Tensor:
        """Log density (N,) of actions."""
        z = (action - mean) / self.log_std.exp()
        return -0.5 * (z.square().sum(dim=1) + JOINTS * math.log(2 * math.pi)) - self.log_std.sum()

    @torch.no_grad()
    def act(self) -> None:
        """Sample an action for every robot at every step of the rollout."""
        for t, seen in enumerate(self.seen):
            mean = self.mean_of(seen)
            action = torch.normal(mean, self.log_std.exp())
            self.observations[t], self.actions[t] = seen, action
            self.log_probs[t] = self.log_prob(action, mean)
        self.values = self.value_of(self.observations)

    @torch.no_grad()
    def advantages(self) -> Tensor:
        """Generalized advantage estimates (T, E)."""
        discount, decay = self.ppo.discount_factor, self.ppo.gae_lambda
        following = self.value_of(self.last_seen)
        advantages, advantage = torch.zeros_like(self.rewards), torch.zeros_like(following)
        for t in reversed(range(len(self.rewards))):
            ahead = following + decay * advantage
            advantage = self.rewards[t] - self.values[t] + discount * self.alive[t] * ahead
            advantages[t], following = advantage, self.values[t]
        return advantages

    def descend(
        self, observation: Tensor, action: Tensor, log_prob: Tensor, value: Tensor, returns: Tensor, advantage: Tensor
    ) -> None:
        """One mini-batch: clipped surrogate, clipped value, entropy; then a step of Adam."""
        mean, predicted = self.mean_of(observation), self.value_of(observation)
        ratio = (self.log_prob(action, mean) - log_prob).exp()
        clipped = ratio.clip(1 - self.ppo.ratio_clip, 1 + self.ppo.ratio_clip)
        policy_loss = -torch.min(advantage * ratio, advantage * clipped).mean()
        if self.ppo.value_clip > 0:
            predicted = value + (predicted - value).clip(-self.ppo.value_clip, self.ppo.value_clip)
        value_loss = self.ppo.value_loss_scale * nn.functional.mse_loss(predicted, returns)
        entropy = self.log_std.sum()  # but for a constant
        self.optimizer.zero_grad()
        (policy_loss + value_loss - self.ppo.entropy_loss_scale * entropy).backward()
        if self.ppo.grad_norm_clip > 0:
            nn.utils.clip_grad_norm_(self.parameters, self.ppo.grad_norm_clip)
        self.optimizer.step()
