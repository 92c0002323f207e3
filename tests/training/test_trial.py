"""The process of a trial: what it leaves when it ends before it trains."""

import pytest
from omegaconf import OmegaConf

import vbot_train.training.trial
from vbot_train.training.result import TrialResult, TrialStopped
from vbot_train.training.trial import train_trial


@pytest.fixture
def ends_with(tmp_path, monkeypatch):
    """``ends_with(error)``: the result of a trial whose training raises that at once."""
    (tmp_path / ".hydra").mkdir()
    OmegaConf.save({"seed": 7, "search": {"trial_minutes": None}}, tmp_path / ".hydra" / "config.yaml")

    def run(error, recorded=None):
        def raise_it(config, run_dir, number):
            if recorded is not None:
                recorded.save(run_dir)
            raise error

        monkeypatch.setattr(vbot_train.training.trial, "train_config", raise_it)
        try:
            train_trial(tmp_path, 3)
        except Exception as raised:
            assert raised is error
        return TrialResult.load(tmp_path)

    return run


@pytest.mark.parametrize(
    ("error", "status", "cause"),
    [
        (ImportError("no mujoco\nanywhere"), "failed", "ImportError: no mujoco"),
        (TrialStopped("timeout", "too long"), "timeout", "too long"),
        (TrialStopped("interrupted", "the search was stopped"), "interrupted", "the search was stopped"),
    ],
)
def test_an_end_before_the_training_has_a_cause_and_a_traceback(tmp_path, ends_with, error, status, cause):
    result = ends_with(error)
    assert (result.status, result.cause, result.trial, result.seed, result.seeds) == (status, cause, 3, 7, [7])
    assert "raise_it" in (tmp_path / "error.txt").read_text(encoding="utf-8")


def test_a_failure_that_the_training_has_recorded_stays_as_it_is(tmp_path, ends_with):
    recorded = TrialResult("failed", 3, 7, [7], cause="the training's own words")
    assert ends_with(ValueError("again"), recorded).cause == "the training's own words"
    assert not (tmp_path / "error.txt").exists()
