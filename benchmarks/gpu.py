"""How fast mujoco-warp steps the robots, and how fast a training is on it.

python benchmarks/gpu.py
python benchmarks/gpu.py --device cpu --robots 8 16 --steps 20 --updates 2     only to see whether it runs

For each number of robots: the time to build them (for the first, with Warp's kernels to compile, unless it did before);
then, each after a warm-up, env steps per second of the simulation alone, of the whole task, and of a training with its
learning. A robot whose physics broke in a control step has made no env step. Nothing else may run on the GPU.
"""

import argparse
import math
import statistics
import time
from collections.abc import Callable

import torch

from vbot_train.agent.networks import Spaces
from vbot_train.agent.ppo import build_agent
from vbot_train.agent.trainer import TrainingLoop
from vbot_train.config.schema import Config
from vbot_train.config.validation import compose_validated
from vbot_train.env.environment import Environment, build_env
from vbot_train.env.navigation import is_finite

WARM_UP = 10  # control steps


def main() -> None:
    """Print a row per number of robots."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--robots", type=int, nargs="+", default=[512, 1024, 2048, 4096, 8192, 16384])
    parser.add_argument("--steps", type=int, default=500, help="control steps")
    parser.add_argument("--updates", type=int, default=5, help="of PPO; 0: no training")
    arguments = parser.parse_args()
    print("robots  build [s]  physics [1/s]  task [1/s]  training [1/s]")
    for robots in arguments.robots:
        start = time.perf_counter()
        env = build_env(config_of(arguments.device), num_envs=robots, seed=0)
        built_s = time.perf_counter() - start
        physics, task = physics_speed(env, arguments.steps), task_speed(env, arguments.steps)
        training = training_speed(env, arguments.device, arguments.updates)
        speeds = f"{physics:13,.0f}  {task:10,.0f}  {training:14,.0f}"
        print(f"{robots:6}  {built_s:9.1f}  {speeds}", flush=True)


def config_of(device: str) -> Config:
    """The default configuration, on a device."""
    return compose_validated(["simulation=warp", f"simulation.device={device}"])


def physics_speed(env: Environment, steps: int) -> float:
    """Env steps per second of the simulation alone, robots standing and fidgeting."""
    env.reset()
    targets = env.simulation.standing_joint_pos + 0.1 * noise(env)
    broken = torch.zeros(env.num_envs, dtype=torch.bool, device=env.device)

    def act(step: int) -> None:
        env.simulation.step(targets[step % len(targets)])
        broken.logical_or_(~is_finite(env.simulation.qvel))  # it stays so: nothing is reset here

    rate = speed(env, steps, act)
    return rate * (1 - broken.float().mean().item())


def task_speed(env: Environment, steps: int) -> float:
    """Env steps per second with observations, rewards and resets, under random actions."""
    env.reset(stagger=True)
    actions = noise(env)
    unstable_before = env.unstable_robots
    rate = speed(env, steps, lambda step: env.step(actions[step % len(actions)]))
    return rate * sound_share(env, unstable_before, WARM_UP + steps)


def training_speed(env: Environment, device: str, updates: int) -> float:
    """Env steps per second of a training, the median of its updates after the first."""
    config = config_of(device)
    hidden = config.network.hidden_layer_sizes
    agent = build_agent(
        config.ppo,
        hidden,
        Spaces.of(env.observation_size, env.action_size),
        num_envs=env.num_envs,
        env_steps=1,
        device=env.device,
    )
    unstable_before = env.unstable_robots
    speeds = [update.env_steps_per_s for update in TrainingLoop(agent, env, updates=updates)]
    rate = statistics.median(speeds[1:]) if updates > 1 else math.nan
    return rate * sound_share(env, unstable_before, updates * agent.cfg.rollouts)


def sound_share(env: Environment, unstable_before: int, steps: int) -> float:
    """Share of robots' control steps in which nothing broke."""
    return 1 - (env.unstable_robots - unstable_before) / max(1, steps * env.num_envs)


def noise(env: Environment) -> torch.Tensor:
    """Different from step to step, (16, E, 12), in [-1, 1]."""
    return 2 * torch.rand(16, env.num_envs, 12, device=env.device) - 1


def speed(env: Environment, steps: int, act: Callable[[int], object]) -> float:
    """Env steps per second."""
    for step in range(WARM_UP):
        act(step)
    finish(env)
    start = time.perf_counter()
    for step in range(steps):
        act(step)
    finish(env)
    return steps * env.num_envs / (time.perf_counter() - start)


def finish(env: Environment) -> None:
    """Wait for the device, which works behind Python's back."""
    if env.device.type == "cuda":
        torch.cuda.synchronize(env.device)


if __name__ == "__main__":
    main()
