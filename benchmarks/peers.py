"""Other ways to train on the same task, for ``throughput.py``: Stable-Baselines3's PPO, and skrl's own trainer.

The same networks, PPO settings, mini-batches and samples per update; precision is what each offers. Neither evaluates
or logs here, and Stable-Baselines3 standardizes no observations: each is at its fastest. They step robots one by one;
only ``sb3_on_ours`` borrows this project's vector environment. Broken robots are not told apart, to the peers' favour.

Every function runs in a process of its own and takes the composed config.
"""

import math
import time
from functools import partial
from typing import Any

import gymnasium
import numpy as np
import skrl
import torch
from skrl.envs.wrappers.torch import wrap_env
from skrl.trainers.torch import SequentialTrainer
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecEnv

from vbot_train.agent.networks import Spaces
from vbot_train.agent.ppo import build_agent
from vbot_train.config.composition import count_cores
from vbot_train.config.schema import Config
from vbot_train.env.gym import VBotNavigation  # noqa: F401 - the package tells Gymnasium about the task

TASK = "VBotNavigation-v0"
WARM_UP = 4  # control steps before anything is measured
Rates = dict[int, float]  # env steps/s by the learner's torch threads


def sb3(config: Config, samples: int, updates: int, threads: list[int], kind: str, num_envs: int) -> Rates:
    """Stable-Baselines3's PPO on single robots, stepped in turn (``dummy``) or by processes (``subproc``)."""
    torch.set_num_threads(1)  # before processes are forked: each steps one robot
    makers = [partial(gymnasium.make, TASK)] * num_envs
    env = DummyVecEnv(makers) if kind == "dummy" else SubprocVecEnv(makers, start_method="fork")
    return _learn_sb3(config, env, samples, updates, threads)


def sb3_on_ours(config: Config, samples: int, updates: int, threads: list[int], kind: str, num_envs: int) -> Rates:
    """The same learner on this project's vector environment, which Stable-Baselines3 has no counterpart of."""
    env = gymnasium.make_vec(TASK, num_envs=num_envs, threads=count_cores())
    return _learn_sb3(config, Adapter(env), samples, updates, threads)


def _learn_sb3(config: Config, env: VecEnv, samples: int, updates: int, threads: list[int]) -> Rates:
    agent = PPO("MlpPolicy", env, **sb3_settings(config, env.num_envs, samples))
    PPO("MlpPolicy", env, **sb3_settings(config, env.num_envs, WARM_UP * env.num_envs)).learn(1)  # a warm-up
    rates = {}
    for number in threads:
        torch.set_num_threads(number)
        start = time.perf_counter()
        agent.learn(updates * samples)
        rates[number] = updates * samples / (time.perf_counter() - start)
    env.close()
    return rates


def sb3_settings(config: Config, num_envs: int, samples: int) -> dict[str, Any]:
    """The config in Stable-Baselines3's words, for updates on so many samples."""
    ppo, hidden = config.ppo, config.network.hidden_layer_sizes
    return {
        "learning_rate": ppo.learning_rate,
        "n_steps": samples // num_envs,
        "batch_size": min(batch_size(config), samples),
        "n_epochs": ppo.learning_epochs,
        "gamma": ppo.discount_factor,
        "gae_lambda": ppo.gae_lambda,
        "clip_range": ppo.ratio_clip,
        "clip_range_vf": ppo.value_clip or None,
        "ent_coef": ppo.entropy_loss_scale,
        "vf_coef": ppo.value_loss_scale,
        "max_grad_norm": ppo.grad_norm_clip or math.inf,
        "policy_kwargs": {
            "net_arch": {"pi": hidden, "vf": hidden},
            "activation_fn": torch.nn.ELU,
            "log_std_init": math.log(ppo.initial_std),
        },
        "device": "cpu",
        "seed": config.seed,
    }


def stock_skrl(config: Config, samples: int, updates: int, threads: list[int], kind: str, num_envs: int) -> Rates:
    """Sequential trainer of skrl on Gymnasium's own vector environments, ``sync`` or ``async``.

    The agent is this project's, which is faster than skrl's own: trainer and environments alone are compared.
    """
    torch.set_num_threads(1)  # before processes are forked: each steps one robot
    skrl.config.torch.device = "cpu"
    forked = {"context": "fork"} if kind == "async" else {}
    vector = gymnasium.make_vec(TASK, num_envs=num_envs, vectorization_mode=kind, vector_kwargs=forked)
    env, rates = wrap_env(vector, verbose=False), {}
    _train_skrl(config, env, WARM_UP * num_envs, WARM_UP)  # a warm-up
    for number in threads:
        torch.set_num_threads(number)
        start = time.perf_counter()
        _train_skrl(config, env, samples, updates * samples // num_envs)
        rates[number] = updates * samples / (time.perf_counter() - start)
    env.close()
    return rates


def _train_skrl(config: Config, env: Any, samples: int, timesteps: int) -> None:
    """Train on updates of so many samples."""
    rollouts, mini_batches = samples // env.num_envs, max(1, samples // batch_size(config))
    agent = build_agent(
        config.ppo.model_copy(update={"rollouts": rollouts, "mini_batches": mini_batches}),
        config.network.hidden_layer_sizes,
        Spaces.of(env.observation_space.shape[0], env.action_space.shape[0]),
        num_envs=env.num_envs,
        env_steps=timesteps * env.num_envs,
    )
    quiet = {"timesteps": timesteps, "headless": True, "disable_progressbar": True, "close_environment_at_exit": False}
    SequentialTrainer(env=env, agents=agent, cfg=quiet).train()


def batch_size(config: Config) -> int:
    """Samples of a mini-batch."""
    ppo = config.ppo
    return config.rollout_env_steps // ppo.mini_batches


class Adapter(VecEnv):
    """A vector environment of Gymnasium that restarts robots in the same step, in Stable-Baselines3's words."""

    def __init__(self, env: Any) -> None:
        self.env = env
        super().__init__(env.num_envs, env.single_observation_space, env.single_action_space)

    def reset(self) -> np.ndarray:
        """Start an episode for every robot."""
        return self.env.reset(seed=self._seeds[0])[0]

    def step_async(self, actions: np.ndarray) -> None:
        """Keep the actions."""
        self.actions = actions

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """Take a control step with every robot."""
        observation, reward, terminated, truncated, info = self.env.step(self.actions)
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        ended = terminated | truncated
        for robot in ended.nonzero()[0]:
            infos[robot] = {"terminal_observation": info["final_obs"][robot], "TimeLimit.truncated": truncated[robot]}
        return observation, reward, ended, infos

    def close(self) -> None:
        """Let the robots go."""
        self.env.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """An attribute, once for every robot."""
        return [getattr(self.env, attr_name)] * self.num_envs

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Robots have no attributes of their own."""
        raise NotImplementedError

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        """Robots have no methods of their own."""
        raise NotImplementedError

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        """Whether each robot is wrapped: none is."""
        return [False] * self.num_envs
