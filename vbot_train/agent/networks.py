"""The policy's and the value function's networks."""

import math
from collections.abc import Sequence
from typing import Any

import gymnasium
import torch
from skrl.models.torch import DeterministicMixin, Model
from torch import Tensor, nn
from torch.distributions import Normal

from vbot_train.env import observations
from vbot_train.env.simulation import JOINTS

OBSERVATION_SPACE = gymnasium.spaces.Box(-math.inf, math.inf, (observations.SIZE,))
MIN_LOG_STD, MAX_LOG_STD = -4.0, 1.0
ACTION_SPACE = gymnasium.spaces.Box(-1.0, 1.0, (JOINTS,))


def build_mlp(hidden: Sequence[int], outputs: int, output_gain: float) -> nn.Sequential:
    """ELU layers of the given sizes and a linear output, weights orthogonal (Andrychowicz et al. 2021,
    https://arxiv.org/abs/2006.05990: a small last policy layer starts near the standing pose).
    """
    layers: list[nn.Module] = []
    size = observations.SIZE
    for width in hidden:
        layers += [_build_linear(size, width, math.sqrt(2)), nn.ELU(inplace=True)]
        size = width
    return nn.Sequential(*layers, _build_linear(size, outputs, output_gain))


def _build_linear(inputs: int, outputs: int, gain: float) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    nn.init.orthogonal_(layer.weight, gain)
    nn.init.zeros_(layer.bias)
    return layer


def read_hidden_sizes(model: nn.Module) -> list[int]:
    """Widths of the hidden layers, read from the network itself."""
    return [layer.out_features for layer in model.modules() if isinstance(layer, nn.Linear)][:-1]


class Policy(Model):
    """Gaussian policy with a standard deviation per joint that does not depend on the observation.

    skrl's ``GaussianMixin`` says the same; it samples an action where only a density is asked for, and computes the
    logarithm of every robot's standard deviation, which here all share.

    Args:
        hidden: Widths of the hidden layers.
        initial_std: Standard deviation of the action at the start.
        device: Where the parameters live.
    """

    def __init__(self, hidden: Sequence[int], *, initial_std: float, device: torch.device | str) -> None:
        Model.__init__(self, observation_space=OBSERVATION_SPACE, action_space=ACTION_SPACE, device=device)
        self.net = build_mlp(hidden, JOINTS, output_gain=0.01)
        self.log_std = nn.Parameter(torch.full((JOINTS,), math.log(initial_std)))

    def std(self) -> Tensor:
        """The standard deviation of the actions (12,), within its bounds."""
        return self._bounded_log_std().detach().exp()

    def compute(self, inputs: dict[str, Any], role: str = "") -> tuple[Tensor, dict[str, Any]]:
        """Returns the mean action (N, 12) and its log standard deviation (12,)."""
        return self.net(inputs["observations"]).float(), {"log_std": self._bounded_log_std()}

    def act(self, inputs: dict[str, Any], *, role: str = "") -> tuple[Tensor, dict[str, Any]]:
        """Returns an action (N, 12), the inputs' ``taken_actions`` if they hold any, and its log density (N, 1)."""
        mean, outputs = self.compute(inputs, role)
        log_std = outputs["log_std"]
        std = log_std.exp()
        action = inputs["taken_actions"] if "taken_actions" in inputs else torch.normal(mean, std)
        deviation = ((action - mean) / std).square().sum(dim=1, keepdim=True)
        log_prob = -0.5 * (deviation + JOINTS * math.log(2 * math.pi)) - log_std.sum()
        return action, {**outputs, "log_prob": log_prob, "mean_actions": mean}

    def get_entropy(self, *, role: str = "") -> Tensor:
        """Entropy of the action, the same for every observation. Returns a number."""
        return self._bounded_log_std().sum() + 0.5 * JOINTS * (1 + math.log(2 * math.pi))

    def distribution(self, *, role: str = "") -> Normal:
        """What actions deviate from their means by; skrl logs its width."""
        return Normal(torch.zeros(JOINTS, device=self.device), self.std())

    def _bounded_log_std(self) -> Tensor:
        return self.log_std.clamp(MIN_LOG_STD, MAX_LOG_STD)


class Value(DeterministicMixin, Model):
    """State value. Takes the same hidden layers as the policy and shares none of them.

    It answers in float32 whatever the precision it learns in: an advantage is a difference of values, far smaller than
    they are late in a training, when bfloat16's rounding alone is off by 7 % of the advantages' spread.
    """

    def __init__(self, hidden: Sequence[int], *, device: torch.device | str) -> None:
        Model.__init__(self, observation_space=OBSERVATION_SPACE, action_space=ACTION_SPACE, device=device)
        DeterministicMixin.__init__(self)
        self.net = build_mlp(hidden, 1, output_gain=1.0)

    def compute(self, inputs: dict[str, Any], role: str = "") -> tuple[Tensor, dict[str, Any]]:
        """Returns the (standardized) value (N, 1)."""
        if torch.is_grad_enabled():  # it learns
            return self.net(inputs["observations"]).float(), {}
        with torch.autocast(self.device.type, enabled=False):
            return self.net(inputs["observations"]), {}
