"""The networks of the policy and of the value function."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import torch
from gymnasium.spaces import Box
from skrl.models.torch import DeterministicMixin, Model
from torch import Tensor, nn
from torch.distributions import Normal

MIN_LOG_STD, MAX_LOG_STD = -4.0, 1.0


class Spaces(NamedTuple):
    """Spaces of an environment, for skrl."""

    observation_space: Box
    action_space: Box

    @classmethod
    def of(cls, observation_size: int, action_size: int) -> Self:
        """Return the spaces for these numbers of values per observation and per action."""
        return cls(Box(-math.inf, math.inf, (observation_size,)), Box(-1.0, 1.0, (action_size,)))


def build_mlp(inputs: int, hidden: Sequence[int], outputs: int, output_gain: float) -> nn.Sequential:
    """Build ELU layers of the given sizes and a linear output layer, with orthogonal weights.

    With small weights in the last layer, the initial policy stays near the standing pose (Andrychowicz et al. 2021,
    https://arxiv.org/abs/2006.05990).
    """
    layers: list[nn.Module] = []
    size = inputs
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
    """Return the widths of the hidden layers, read from the network itself."""
    return [layer.out_features for layer in model.modules() if isinstance(layer, nn.Linear)][:-1]


class Policy(Model):
    """Gaussian policy with one standard deviation per joint, independent of the observation.

    Equivalent to skrl's ``GaussianMixin`` but faster: that one samples an action even if only a density is needed, and
    computes the log standard deviation for each robot, although all robots share it.

    Args:
        spaces: Spaces of the observation and of the action.
        hidden: Widths of the hidden layers.
        initial_std: Initial standard deviation of the action.
        device: Device of the parameters.
    """

    def __init__(
        self, spaces: Spaces, hidden: Sequence[int], *, initial_std: float, device: torch.device | str
    ) -> None:
        Model.__init__(self, **spaces._asdict(), device=device)
        self.net = build_mlp(self.num_observations, hidden, self.num_actions, output_gain=0.01)
        self.log_std = nn.Parameter(torch.full((self.num_actions,), math.log(initial_std)))

    def std(self) -> Tensor:
        """Return the standard deviation of the actions (J,), clamped to its bounds."""
        return self._bounded_log_std().detach().exp()

    def compute(self, inputs: dict[str, Any], role: str = "") -> tuple[Tensor, dict[str, Any]]:
        """Return the mean action (N, J) and its log standard deviation (J,)."""
        return self.net(inputs["observations"]).float(), {"log_std": self._bounded_log_std()}

    def act(self, inputs: dict[str, Any], *, role: str = "") -> tuple[Tensor, dict[str, Any]]:
        """Return an action (N, J), sampled unless the inputs hold ``taken_actions``, and its log density (N, 1)."""
        mean, outputs = self.compute(inputs, role)
        log_std = outputs["log_std"]
        std = log_std.exp()
        action = inputs["taken_actions"] if "taken_actions" in inputs else torch.normal(mean, std)
        deviation = ((action - mean) / std).square().sum(dim=1, keepdim=True)
        log_prob = -0.5 * (deviation + self.num_actions * math.log(2 * math.pi)) - log_std.sum()
        return action, {**outputs, "log_prob": log_prob, "mean_actions": mean}

    def get_entropy(self, *, role: str = "") -> Tensor:
        """Return the entropy of the action, a scalar that is the same for every observation."""
        return self._bounded_log_std().sum() + 0.5 * self.num_actions * (1 + math.log(2 * math.pi))

    def distribution(self, *, role: str = "") -> Normal:
        """Return the distribution of the actions' deviations from their means; skrl logs its standard deviation."""
        return Normal(torch.zeros(self.num_actions, device=self.device), self.std())

    def _bounded_log_std(self) -> Tensor:
        return self.log_std.clamp(MIN_LOG_STD, MAX_LOG_STD)


class Value(DeterministicMixin, Model):
    """State-value function. Its hidden layers have the policy's sizes, but the two networks share no layers.

    Inference always runs in float32, also with mixed-precision training: an advantage is a difference of values, and
    late in training it is much smaller than the values. Rounding values to bfloat16 would then cause an error of 7 % of
    the advantages' spread.
    """

    def __init__(self, spaces: Spaces, hidden: Sequence[int], *, device: torch.device | str) -> None:
        Model.__init__(self, **spaces._asdict(), device=device)
        DeterministicMixin.__init__(self)
        self.net = build_mlp(self.num_observations, hidden, 1, output_gain=1.0)

    def compute(self, inputs: dict[str, Any], role: str = "") -> tuple[Tensor, dict[str, Any]]:
        """Return the (standardized) value (N, 1)."""
        if torch.is_grad_enabled():  # in an update
            return self.net(inputs["observations"]).float(), {}
        with torch.autocast(self.device.type, enabled=False):
            return self.net(inputs["observations"]), {}
