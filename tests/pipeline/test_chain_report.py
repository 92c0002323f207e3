"""The page of a chain: whole, and drawn by a browser."""

import json

import pytest

from vbot_train.pipeline.outcome import Difference, Outcome
from vbot_train.pipeline.report import OUTCOMES, describe_changes, write_chain_report
from vbot_train.pipeline.state import ChainState, StepState

FOUND = {
    "stage": "1-hp",
    "trial": 3,
    "how": "confirmed",
    "seeds": 2,
    "success_rate": {"iqm": 0.98, "ci_95": [0.9, 1.0]},
}
OUTCOME = Outcome(
    "hp",
    is_default=False,
    differences=[
        Difference(
            "time_to_goal_s",
            {"iqm": 2.5, "ci_95": [2.4, 2.6]},
            {"iqm": 3.5, "ci_95": [3.4, 3.6]},
            value=-1.0,
            interval_95=(-1.2, -0.8),
        )
    ],
    seeds=3,
)
CELLS = [
    {"distance_m": None, "bearing_deg": None, "episodes": 4, "counts": {"reached": 3, "fell": 1}},
    {"distance_m": [2.0, 5.0], "bearing_deg": [0.0, 60.0], "episodes": 0, "counts": {"reached": 0, "fell": 0}},
]


@pytest.fixture
def page(make_chain):
    """The page of a chain of two steps: one search, done, and one training."""
    chain = make_chain("pipeline=hp")
    chain.directory.mkdir(parents=True)
    found = {"histogram": CELLS, "episodes": 4, "metrics": {"success_rate": 0.75}}
    (chain.directory / OUTCOMES).write_text(json.dumps(found), encoding="utf-8")
    steps = [StepState(name=step.name) for step in chain.steps]
    steps[0] = StepState(name="1-hp", status="done", command="<line>", hours=0.25, ended=6, total=8, best=FOUND)
    state = ChainState(
        name="n", pipeline="hp", command="the chain's line", budget_hours=1, hours_used=0.5, steps=steps, settings={}
    )
    return write_chain_report(chain, state, OUTCOME, ["There is no video."])


def test_the_page_says_the_answer_the_test_what_was_left_out_and_every_line(page):
    text = page.read_text(encoding="utf-8")
    assert "The winner (hp) is better than the default: time_to_goal_s by 1." in text
    assert "3.5 [3.4, 3.6]" in text and "2.5 [2.4, 2.6]" in text and "-1 [-1.2, -0.8], better" in text
    assert "mean over 3 seeds" in text and "true median in 75% of cases" in text and "confirmed on 2 seeds" in text
    assert "There is no video." in text and "0.50 h of 1 h were used." in text
    assert "&lt;line&gt;" in text and "<line>" not in text  # escaped
    assert "4 episodes of the final policy; success 75.00%" in text
    assert text.count('<td class="number">2-5</td>') == 0  # a range without an episode is left out


def test_what_a_step_changed_leaves_out_what_its_line_sets():
    before = {"ppo": {"learning_rate": 1e-3}, "training": {"env_steps": 5}}
    after = {"ppo": {"learning_rate": 2e-3}, "training": {"env_steps": 4}}
    assert describe_changes(before, after) == ["ppo.learning_rate: 0.001 -> 0.002"]
    assert describe_changes(before, before) == ["nothing"]


@pytest.mark.browser
def test_a_browser_draws_the_page_without_an_error_and_asks_for_nothing_else(page, open_page):
    tab, said, asked = open_page(page)
    assert tab.locator(".plotly-graph-div").count() == 2
    assert tab.locator("#steps tr").count() == 1 + 4
    assert tab.locator("#test tr").count() == 1 + 1
    assert said == [] and asked == [page.as_uri()]
