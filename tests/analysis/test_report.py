"""The report: whole, safe, and drawn by a browser."""

from dataclasses import replace
from pathlib import Path

import pytest
from matplotlib.axes import Axes
from optuna.distributions import CategoricalDistribution
from studies import METRIC, retrained, screened, study

from vbot_train.analysis.advice import Advice
from vbot_train.analysis.figures import draw_stages
from vbot_train.analysis.headline import write_headline
from vbot_train.analysis.importance import Importance, ImportanceReport
from vbot_train.analysis.next_commands import list_next_commands, list_own_folders, list_own_settings
from vbot_train.analysis.report import list_table_rows, write_report
from vbot_train.analysis.verdict import Verdict
from vbot_train.study.record import StudyRecord

NONE = ImportanceReport([], {}, "insufficient: 3 of 30 completed trials", "ped_anova", 3)
MATTERS = ImportanceReport(
    [Importance("ppo.learning_rate", 1.0, (0.9, 1.0), (1, 1))],
    {"network": "one value only"},
    "sufficient",
    "ped_anova",
    40,
)
ADVICE = [Advice("edge", "The best lies at the edge of <b>.", "5 of 5.", "'ppo.x=interval(1,2)'")]


@pytest.fixture
def verdict(tmp_path):
    """Trial 2 wins: the search saw less of it than of trial 1, confirming more."""
    trials = [screened(0, 10.0, origin="default"), screened(1, 30.0), screened(2, 20.0)]
    confirm = [retrained(n, seed, value) for n, value in ((1, 10.0), (2, 17.0)) for seed in (1001, 1002)]
    test = [retrained(n, seed, value + seed % 2) for n, value in ((2, 13.0), (0, 10.0)) for seed in (2001, 2002)]
    found = study(trials, confirm, test)
    for place, trial in enumerate(found.trials):
        directory = tmp_path / f"{place:03d}"
        directory.mkdir()
        (directory / "progress.csv").write_text(
            "env_steps,success_rate,reward\n1000000,0.25,1\n2000000,0.5,2\n", encoding="utf-8"
        )
        object.__setattr__(trial, "directory", directory)
    return Verdict(found, METRIC)


def test_the_headline_is_the_tested_value_beside_the_defaults(verdict):
    first, default, against, before, caution = write_headline(verdict)
    assert first.startswith("winner: config_002, tested on training seeds and starts of its own: ")
    assert "episode_reward_mean 13.5 [13, 14] over 2 seeds" in first
    assert default.startswith("the default, tested alike: episode_reward_mean 10.5 [10, 11]")
    assert against.startswith("one run of the winner beats one of the default with probability 1.00; difference")
    assert "confirming said episode_reward_mean 17 [17, 17]" in before and "search saw episode_reward_mean 20" in before
    assert caution.endswith(
        "contains the true median in 50% of cases"
    )  # two runs lie on one side of the middle in 2 of 4


def test_a_winner_that_breaks_in_its_test_is_not_praised_for_the_seed_that_it_survived():
    trials = [screened(0, 10.0, origin="default"), screened(1, 30.0), screened(2, 20.0)]
    confirm = [retrained(n, seed, 15.0 + n) for n in (1, 2) for seed in (1001, 1002)]
    test = [retrained(2, 2001, 30.0), retrained(2, 2002, 0.0, status="diverged")]
    test += [retrained(0, seed, 20.0) for seed in (2001, 2002)]
    first, _, against, *_ = write_headline(Verdict(study(trials, confirm, test), METRIC))
    assert "episode_reward_mean 30 over 1 of 2 seeds" in first and "(seed 2002 diverged)" in first
    assert against == "one run of the winner beats one of the default with probability 0.50"  # 30 > 20, lost < 20


def test_a_study_of_seeds_alone_has_a_report(tmp_path):
    trials = [screened(number, 1.0, seed=number) for number in (1, 2, 3)]
    for trial in trials:
        trial.params.clear()
        trial.params["seed"] = trial.number
        object.__setattr__(trial, "distributions", {"seed": CategoricalDistribution([1, 2, 3])})
    write_report(Verdict(study(trials, confirm=None), METRIC), NONE, [], tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<h2>Learning curves</h2>" in page and "<h2>Slices</h2>" not in page


def test_the_figures_hold_values_of_nought(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(Axes, "plot", lambda axes, *arguments, **style: drawn.append(arguments))
    trials = [screened(0, 1.0, fall_rate=0.0), screened(1, 1.0, fall_rate=0.1)]
    confirm = [retrained(n, seed, 1.0, fall_rate=0.1 * n) for n in (0, 1) for seed in (1001, 1002)]
    draw_stages(Verdict(study(trials, confirm, metric="fall_rate"), "fall_rate"), tmp_path / "stages.png")
    assert ([0, 1], [0.0, 0.1], "D") in drawn
    assert (0.12, 0.0, "s") in drawn


def test_an_unconfirmed_headline_warns_of_the_luckiest():
    first, second = write_headline(Verdict(study([screened(0, 1.0), screened(1, 2.0)], confirm=None), METRIC))
    assert first == "best so far: config_001, unconfirmed (search.confirm=none)"
    assert "the search saw episode_reward_mean 2 on one seed" in second and "expect less" in second


def test_a_study_without_a_completed_trial_has_a_report_that_says_so(tmp_path):
    empty = Verdict(study([screened(0, 0.0, status="failed")]), METRIC)
    write_report(empty, NONE, [], tmp_path / "report.html")
    assert "no trial was completed" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_the_table_holds_search_confirmation_and_test_of_the_best(verdict):
    first, second, third = list_table_rows(verdict)
    assert (first["configuration"], first["search"], first["confirmed"]) == ("config_002", "20", "17 [17, 17]")
    assert (first["search_success"], first["tested_success"]) == ("success 50.0%", "success 50.0%")
    assert first["tested"] == "13.5 [13, 14]"
    assert (first["search_seeds"], first["confirmed_seeds"], first["tested_seeds"]) == ("1 seed", "2 seeds", "2 seeds")
    assert (second["configuration"], second["tested"]) == ("config_001", "-")
    assert (third["configuration"], third["confirmed"], third["tested"]) == ("config_000", "-", "10.5 [10, 11]")


def test_it_says_what_to_type_next(verdict):
    texts = [line for _, line in list_next_commands(verdict, Path("s/analysis"))]
    assert texts[0] == "python -m vbot_train --config-dir s/analysis experiment=best"
    again = "python -m vbot_train -m --config-dir s/analysis experiment=best seed=11,12,13"
    assert texts[1] == f"{again} search.confirm=none"
    assert texts[2] == "python -m vbot_train -m search=fine_tune search.around=s"


def test_another_search_keeps_the_task_and_the_training_of_this_one():
    given = [
        "x",
        "-m",
        "search=full",
        "training=quick",
        "training.env_steps=600_000",
        "ppo.rollouts=16,24",
        "workers=2",
    ]
    record = StudyRecord("s", METRIC, command=given, space={"ppo.rollouts": "choice(16, 24)"})
    assert list_own_settings(record) == ["training=quick", "training.env_steps=600_000"]


def test_the_line_to_search_on_keeps_the_folders_of_options():
    command = ["vbot-train", "--config-dir", "mine", "-m", "seed=1", "--config-path=/x/conf"]
    assert list(list_own_folders(command)) == ["--config-dir", "mine", "--config-path=/x/conf"]


def test_one_configuration_on_several_seeds_is_told_with_its_range():
    twice = [screened(0, 1.0), screened(1, 3.0, rate=1e-4, seed=43)]
    (line,) = write_headline(Verdict(study(twice), METRIC))
    assert line == "one configuration on 2 seeds: episode_reward_mean 2 [1 to 3]; there was nothing to choose"


def test_one_configuration_of_which_a_seed_was_lost_says_so():
    trials = [screened(number, value, rate=1e-4, seed=number) for number, value in ((1, 1.0), (2, 3.0))]
    lost = screened(3, 9.0, rate=1e-4, seed=3, status="diverged")
    found = Verdict(study([*trials, lost]), METRIC)
    (line,) = write_headline(found)
    said = "one configuration on 2 of 3 seeds: episode_reward_mean 2 [1 to 3] (seed 3 diverged)"
    assert line == f"{said}; there was nothing to choose"
    assert next(list_table_rows(found))["search_seeds"] == "2 of 3 seeds"


def test_a_test_on_one_seed_each_says_nothing_of_others():
    trials = [screened(0, 10.0, origin="default"), screened(1, 30.0)]
    confirm = [retrained(n, 1001, 15.0 + n) for n in (0, 1)]
    test = [retrained(n, 2001, 15.0 + n) for n in (0, 1)]
    plan = {"confirm": {"top_k": 2, "seeds": [1001]}, "test": {"seeds": [2001], "evaluation_seed": 7}}
    lines = list(write_headline(Verdict(study(trials, confirm, test, **plan), METRIC)))
    assert "one seed each: that says nothing of other seeds" in lines
    assert not any("probability" in line for line in lines)


def test_names_are_text_not_markup(verdict, tmp_path):
    record = replace(verdict.study.record, study="<script>alert('ü')</script>")
    write_report(Verdict(replace(verdict.study, record=record), METRIC), MATTERS, ADVICE, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "&lt;script&gt;alert(&#39;ü&#39;)&lt;/script&gt;" in page and "<script>alert" not in page
    assert "at the edge of &lt;b&gt;." in page


@pytest.mark.browser
def test_a_browser_draws_every_figure_without_an_error_and_asks_for_nothing_else(verdict, tmp_path, open_page):
    path: Path = tmp_path / "report.html"
    write_report(verdict, MATTERS, ADVICE, path)
    page, said, asked = open_page(path)
    drawn = page.evaluate(
        "Object.fromEntries([...document.querySelectorAll('.plotly-graph-div')].map(d =>"
        " [d.closest('section').querySelector('h2').textContent,"
        "  d.querySelectorAll('.trace, .parcoords .axis, .bars .point').length]))"
    )
    assert list(drawn) == [
        "From search to test",
        "What mattered",
        "Optimization history",
        "Slices",
        "Parallel coordinates",
        "Learning curves",
        "Score against cost",
        "Score against wall clock",
        "How trials ended",
    ]
    assert all(drawn.values()), drawn
    assert said == []
    assert asked == [path.as_uri()]
