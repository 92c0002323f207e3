"""``benchmarks/replay.py``: recorded results are read as they are, and searched by the product's own queue."""

import importlib
import itertools
from pathlib import Path

import numpy as np
import pytest

from vbot_train.study.storage import quiet_optuna

CURVES = """rate,seed,step,value
1,7,100,1.0
1,7,200,2.0
1,8,100,3.0
1,8,200,4.0
2,7,100,5.0
2,7,200,6.0
3,7,100,9.0
"""


@pytest.fixture
def benchmark(monkeypatch):
    """A benchmark by its name, as a module."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
    quiet_optuna()
    return importlib.import_module


def test_the_truth_of_a_cell_is_its_mean_over_seeds_and_one_that_stops_early_has_diverged(benchmark, tmp_path):
    (tmp_path / "curves.csv").write_text(CURVES, encoding="utf-8")
    task = benchmark("recorded").read_curves(tmp_path / "curves.csv")
    assert (task.keys, task.truth) == (("rate",), {(1.0,): 3.0, (2.0,): 6.0})
    assert task.score((2.0,)) == 1.0 and task.score((1.0,)) == -1.0 and task.score(None) == 0.0
    assert task.observe((3.0,), np.random.default_rng(0)) == [9.0] and task.length == 2
    assert task.observe((1.0,), np.random.default_rng(0)) in ([1.0, 2.0], [3.0, 4.0])


@pytest.mark.parametrize("column", ["seed", "step", "value"])
def test_a_file_without_a_column_is_refused_in_a_line_that_names_it(benchmark, tmp_path, column):
    path = tmp_path / "curves.csv"
    path.write_text(CURVES.replace(column, "other"), encoding="utf-8")
    with pytest.raises(SystemExit, match=f"curves.csv: has no column {column}$"):
        benchmark("recorded").read_curves(path)


def test_with_the_scheduler_a_budget_tries_more_cells_and_finds_the_best_where_curves_keep_their_order(benchmark):
    recorded, searches = benchmark("recorded"), benchmark("recorded_search")
    cells = [(float(value),) for value in range(40)]
    curves = {cell: [[cell[0] * share / 8 for share in range(1, 9)]] for cell in cells}
    task = recorded.Recorded("line", ("x",), {cell: cell[0] for cell in cells}, cells, curves, 8)
    scores = {}
    for scheduler in ("none", "halving"):
        runs = [searches.search(task, searches.Way("random", scheduler), (8,), n, 8, 0)[0][0] for n in range(10)]
        scores[scheduler] = sum(runs) / 10
    assert scores["halving"] > scores["none"]


def test_confirming_the_best_on_new_seeds_undoes_the_luck_of_one_training(benchmark):
    recorded, searches = benchmark("recorded"), benchmark("recorded_search")
    good, lucky = (1.0,), (2.0,)
    task = recorded.Recorded("two", ("x",), {good: 5.0, lucky: 1.0}, [good, lucky], {good: [[5.0]], lucky: [[1.0]]})
    found = searches.Found({good: [5.0], lucky: [9.0]}, {})
    assert found.pick() == lucky
    assert found.confirm(task, 2, seed=0) == good
    assert found.confirm(task, 1, seed=0) == lucky


def test_confirming_rules_out_a_cell_that_diverges(benchmark):
    recorded, searches = benchmark("recorded"), benchmark("recorded_search")
    whole, fragile = (1.0,), (2.0,)
    curves = {whole: [[5.0, 5.0]], fragile: [[9.0]]}
    task = recorded.Recorded("two", ("x",), {whole: 5.0}, [whole, fragile], curves, 2)
    assert searches.Found({whole: [5.0], fragile: [9.0]}, {}).confirm(task, 2, seed=0) == whole


@pytest.mark.parametrize(("recorded_steps", "share"), [(0, 0.25), (2, 0.75)])
def test_a_training_that_diverges_costs_what_it_took(benchmark, recorded_steps, share):
    recorded, searches = benchmark("recorded"), benchmark("recorded_search")
    cells = [(1.0,), (2.0,)]
    curves = {cells[0]: [[1.0] * 4], cells[1]: [[9.0] * recorded_steps]}
    task = recorded.Recorded("one", ("x",), {cells[0]: 1.0}, cells, curves, 4)
    found = searches.Found({}, {})
    costs, steps = [0.0], searches._search(task, searches.Way("random"), 0, 4, found)
    while len(costs) < 20:
        costs.append(next(steps))
    assert {round(after - before, 9) for before, after in itertools.pairwise(costs)} == {1.0, share}
