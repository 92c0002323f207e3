"""The learner: what it pays, and that asking the value function less often changes nothing that is learnt."""

import pytest
import torch
from skrl.agents.torch.ppo import PPO
from skrl.agents.torch.ppo.ppo import compute_gae
from torch.testing import assert_close

from vbot_train.agent.networks import Spaces
from vbot_train.agent.ppo import Learner, build_agent, read_applied_settings
from vbot_train.config.schema import Ppo
from vbot_train.config.validation import compose_validated

ROBOTS, STEPS = 4, 3
NEVER = torch.zeros(ROBOTS, 1, dtype=torch.bool)


@pytest.fixture
def build(monkeypatch):
    """Build an agent with equal random weights, in float32 unless told: a ``Learner``, or skrl's own class."""
    ppo = compose_validated([f"ppo.rollouts={STEPS}", "ppo.mini_batches=2"]).ppo

    def made(kind=Learner, mixed_precision=False):
        monkeypatch.setattr("vbot_train.agent.ppo.Learner", kind)
        torch.manual_seed(0)
        agent = build_agent(
            ppo.model_copy(update={"mixed_precision": mixed_precision}),
            [16],
            Spaces.of(54, 12),
            num_envs=ROBOTS,
            env_steps=1000,
        )
        agent.enable_training_mode(True)
        return agent

    return made


def roll_out(agent, truncated, terminated=NEVER):
    """Fill the memory with one rollout of made-up observations; robots are cut off after its second step."""
    generator = torch.Generator().manual_seed(1)
    for step in range(STEPS):
        seen, following = torch.randn(2, ROBOTS, 54, generator=generator)
        with torch.no_grad():
            torch.manual_seed(step)
            action, _ = agent.act(seen, None, timestep=step, timesteps=STEPS)
            agent.record_transition(
                observations=seen,
                states=None,
                actions=action,
                rewards=torch.randn(ROBOTS, 1, generator=generator),
                next_observations=following,
                next_states=None,
                terminated=terminated if step == 1 else NEVER,
                truncated=truncated if step == 1 else NEVER,
                infos={},
                timestep=step,
                timesteps=STEPS,
            )


def learnt(agent, truncated, terminated=NEVER):
    """Parameters after one update."""
    roll_out(agent, truncated, terminated)
    torch.manual_seed(9)
    agent.update(timestep=STEPS, timesteps=STEPS)
    return [parameter.detach() for model in (agent.policy, agent.value) for parameter in model.parameters()]


SOME = torch.tensor([[True], [False], [False], [True]])


@pytest.mark.parametrize(("cut_off", "fell"), [(NEVER, NEVER), (NEVER, SOME), (SOME, NEVER), (~SOME, SOME)])
def test_it_learns_what_skrl_s_ppo_learns(build, cut_off, fell):
    for ours, theirs in zip(learnt(build(), cut_off, fell), learnt(build(PPO), cut_off, fell), strict=True):
        assert_close(ours, theirs, atol=1e-6, rtol=1e-5)


def test_only_a_robot_that_the_time_limit_cut_off_is_paid_what_was_still_to_come(build):
    cut = torch.tensor([[False], [True], [False], [False]])
    agent, plain = build(), build()
    roll_out(agent, cut)
    roll_out(plain, NEVER)
    following = agent._cut_off[0][2]
    agent._bootstrap_truncated()
    paid = agent.memory.get_tensor_by_name("rewards") - plain.memory.get_tensor_by_name("rewards")
    expected = torch.zeros(STEPS, ROBOTS, 1)
    expected[1, 1] = 0.99 * agent.value.net(following)[0]  # the scalers have seen nothing yet
    assert following.shape == (1, 54)
    assert_close(paid, expected)


def test_a_rollout_is_paid_for_once(build):
    agent = build()
    roll_out(agent, ~NEVER)
    agent.update(timestep=STEPS, timesteps=STEPS)
    assert not agent._cut_off


@pytest.mark.parametrize("mixed_precision", [False, True])
def test_advantages_are_computed_in_float32_whatever_the_networks_learn_in(build, monkeypatch, mixed_precision):
    agent, pairs = build(mixed_precision=mixed_precision), []

    def value_of(observations):
        return agent.value.net(observations.clamp(-5, 5)).detach()  # the scalers have seen nothing yet

    def gae(**given):
        pairs.append((given["values"].clone(), value_of(agent.memory.get_tensor_by_name("observations"))))
        pairs.append((given["last_values"], value_of(agent._current_next_observations)))
        return compute_gae(**given)

    monkeypatch.setattr("skrl.agents.torch.ppo.ppo.compute_gae", gae)
    roll_out(agent, SOME)
    (step, robots, following), rewards = agent._cut_off[0], agent.memory.get_tensor_by_name("rewards")
    paid = rewards[step, robots] + 0.99 * value_of(following)
    agent.update(timestep=STEPS, timesteps=STEPS)
    for given, expected in [*pairs, (rewards[step, robots], paid)]:
        assert_close(given, expected, atol=1e-6, rtol=1e-6)  # of bfloat16 they would be off by 1e-3


OTHER_VALUES = {  # none is the default
    "learning_rate": 1e-4,
    "learning_rate_schedule": "kl",
    "kl_target": 0.02,
    "discount_factor": 0.97,
    "gae_lambda": 0.9,
    "ratio_clip": 0.1,
    "value_clip": 0.3,
    "grad_norm_clip": 0.5,
    "entropy_loss_scale": 0.01,
    "value_loss_scale": 0.7,
    "learning_epochs": 2,
    "mini_batches": 16,
    "rollouts": 16,
    "kl_threshold": 0.05,
    "initial_std": 0.3,
    "mixed_precision": False,
}


def read_back(**changes):
    ppo = compose_validated([f"ppo.{key}={value}" for key, value in changes.items()]).ppo
    return read_applied_settings(build_agent(ppo, [16], Spaces.of(54, 12), num_envs=4, env_steps=1000))


@pytest.mark.parametrize("key", Ppo.model_fields)
def test_every_ppo_key_reaches_the_agent_and_is_read_back_from_it(key):
    changes = {key: OTHER_VALUES[key]} | ({"learning_rate_schedule": "kl"} if key == "kl_target" else {})
    assert getattr(compose_validated().ppo, key) != OTHER_VALUES[key]
    assert read_back(**changes)[key] == OTHER_VALUES[key]


def test_a_kl_target_that_no_schedule_uses_is_read_back_as_nothing():
    assert read_back(learning_rate_schedule="linear")["kl_target"] is None


def test_a_key_that_the_agent_does_not_have_is_an_error(monkeypatch):
    monkeypatch.setitem(Ppo.model_fields, "momentum", Ppo.model_fields["gae_lambda"])
    with pytest.raises(AttributeError, match="momentum"):
        read_back()
