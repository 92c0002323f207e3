"""Only feasible points become trials."""

import optuna
import pytest

from vbot_train.config import ConfigError
from vbot_train.search.proposals import FeasibleSampler, enqueue_grid, survey


def too_fast(candidate):
    return ["too_fast"] if candidate.config["ppo"]["learning_rate"] > 5e-4 else []


def never(candidate):
    return ["never"]


def test_a_grid_is_surveyed_cell_by_cell(make_space):
    found = survey(make_space("search=quick"), too_fast, grid=True, seed=0)
    assert (found.points, found.feasible, found.broken) == (6, 4, {"too_fast": 2})  # 1e-3 at 2 rollouts


def test_a_space_without_a_feasible_point_is_refused(make_space):
    with pytest.raises(ConfigError, match="none of 6 points is feasible, they break never"):
        survey(make_space("search=quick"), never, grid=True, seed=0)


def test_only_feasible_cells_are_queued_up_to_the_limit(make_space):
    space = make_space("search=quick")
    study = optuna.create_study()
    assert enqueue_grid(study, space, too_fast, 10) == 4
    assert all(trial.system_attrs["fixed_params"]["ppo.learning_rate"] <= 5e-4 for trial in study.trials)
    assert enqueue_grid(optuna.create_study(), space, too_fast, 3) == 3


@pytest.mark.parametrize(
    "sampler",
    [
        optuna.samplers.RandomSampler(seed=0),
        optuna.samplers.TPESampler(seed=0, multivariate=True, constant_liar=True, n_startup_trials=5),
    ],
    ids=["random", "bayesian"],
)
def test_no_infeasible_point_is_drawn_and_rejections_are_counted(make_space, sampler):
    space = make_space("ppo.learning_rate=interval(1e-4,9e-4)")  # half of it breaks the rule
    study = optuna.create_study(sampler=sampler, direction="maximize")
    draw = FeasibleSampler(study, space, too_fast, seed=0).draw
    for _ in range(20):
        study.enqueue_trial(draw().params)
        trial = study.ask(space.distributions)
        assert trial.params["ppo.learning_rate"] <= 5e-4
        study.tell(trial, trial.params["ppo.learning_rate"])  # the best lies at the edge of the rule
    assert [trial.number for trial in study.trials] == list(range(20))
    assert len({trial.params["ppo.learning_rate"] for trial in study.trials}) == 20
    assert study.user_attrs["infeasible"]["too_fast"] > 0


def test_a_sampler_that_insists_on_the_infeasible_is_replaced_by_random_feasible_points(make_space):
    class Stubborn(optuna.samplers.RandomSampler):
        def sample_independent(self, study, trial, name, distribution):
            return 9e-4

    space = make_space("ppo.learning_rate=interval(1e-4,9e-4)")
    study = optuna.create_study(sampler=Stubborn())
    sampler = FeasibleSampler(study, space, too_fast, seed=0)
    assert sampler.draw().params["ppo.learning_rate"] <= 5e-4
    with pytest.raises(ConfigError, match="no feasible point"):
        FeasibleSampler(study, space, never, seed=0).draw()
