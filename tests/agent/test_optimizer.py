"""The optimizer computes what it did, without torch's compiler."""

import subprocess
import sys

import pytest
import torch
from torch.optim import Adam

from vbot_train.agent.optimizer import leave_out_compiler


def test_a_step_changes_a_parameter_as_adam_does_and_leaves_gradients_on():
    leave_out_compiler()
    parameter = torch.nn.Parameter(torch.tensor([1.0, 1.0]))
    optimizer = Adam([parameter], lr=0.1, fused=True)
    (parameter * torch.tensor([2.0, -3.0])).sum().backward()
    optimizer.step()
    assert parameter.tolist() == pytest.approx([0.9, 1.1])  # Adam's first step: lr against the gradient's sign
    assert torch.is_grad_enabled() and parameter.requires_grad
    assert optimizer.state_dict()["state"][0]["step"] == 1
    optimizer.zero_grad()
    assert parameter.grad is None


TRAINING = """
import sys
from pathlib import Path
from vbot_train.config.composition import compose_config
from vbot_train.training.train import train

train(compose_config(["training=smoke", "simulation.threads=1", "env.episode_length_s=0.1"]), Path("run"))
print("torch" in sys.modules, "torch._dynamo" in sys.modules)
"""


def test_a_whole_training_does_not_import_torchs_compiler(tmp_path):
    line = [sys.executable, "-c", TRAINING]
    assert subprocess.run(line, cwd=tmp_path, check=True, capture_output=True, text=True).stdout == "True False\n"
