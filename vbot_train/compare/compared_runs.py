"""Loading of one side of a comparison: a run, or the best configuration of a study."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vbot_train.analysis.curves import Curve, CurveError, read_curve
from vbot_train.analysis.headline import list_failed_seeds
from vbot_train.analysis.ranking import Configuration, name_configuration
from vbot_train.analysis.verdict import Verdict
from vbot_train.compare.comparison import ABSENT, ComparedRun
from vbot_train.config.composition import ConfigError, load_recorded_config, with_values
from vbot_train.study.errors import StudyError
from vbot_train.study.layout import STUDY_YAML, TRIALS
from vbot_train.study.loading import load_study
from vbot_train.study.recorded_settings import RecordedSettings
from vbot_train.study.trials import Study
from vbot_train.training.comparable import result_settings
from vbot_train.training.progress import PROGRESS_CSV
from vbot_train.training.result import FILE_NAME, ResultError, TrialResult

SEEDS = ("seed", "evaluation.selection_seed", "evaluation.seed")  # no part of a configuration, so compared apart
STAGES = {TRIALS: "as the search saw it", "confirm": "confirmed", "test": "tested"}

Runs = dict[int, tuple[TrialResult, Path]]  # runs of a configuration and their directories, by training seed


def load_side(path: Path, storage: str | None = None) -> ComparedRun:
    """Load a run, or the best configuration of a study.

    Args:
        path: Directory of a run, a trial or a study.
        storage: Storage URL of a study, with the password, if its record omits the password.

    Raises:
        ConfigError: The directory is neither a run nor a study, or the run's config cannot be read.
        ResultError: The run was not completed, or its result cannot be used.
        StudyError: The study cannot be read, or has no completed trial.
        CurveError: The learning curve of a run cannot be read.
    """
    if (path / STUDY_YAML).is_file():
        return read_study(path, storage)
    if (path / FILE_NAME).is_file() or (path / ".hydra").is_dir():
        return read_run(path)
    raise ConfigError(f"{path}: not the directory of a run or a study (it has neither .hydra nor {STUDY_YAML})")


def read_run(path: Path) -> ComparedRun:
    """Load a run; a trial on several seeds counts as several runs of one configuration."""
    config = load_recorded_config(path)
    result = TrialResult.load(path)
    if result.status != "completed":
        cause = "" if result.cause is None else f": {result.cause}"
        raise ResultError(f"{path}: cannot be compared, it is {result.status}, not completed{cause}")
    return build_compared_run(path, "run", None, config, read_runs(result, path))


def read_study(path: Path, storage: str | None) -> ComparedRun:
    """Load a study's best configuration, with its runs of the last available stage."""
    study = load_study(path, storage)
    metric = study.record.metric
    verdict = Verdict(study, metric)
    if (winner := verdict.winner) is None:
        raise StudyError(f"{path}: no trial was completed with a value of {metric}")
    config = load_recorded_config(winner.trials[0].directory)
    stage, runs, lost = find_best_known(verdict, winner)
    if stage == "test" and study.record.test:
        config = with_values(config, {"evaluation.seed": study.record.test.evaluation_seed})
    completed = {seed: (run, directory) for seed, (run, directory) in runs.items() if run.status == "completed"}
    if not completed:
        raise StudyError(f"{path}: nothing to compare, {STAGES[stage]} {name_configuration(winner.number)} is {lost}")
    lost = {seed: status for seed, status in lost.items() if seed not in completed}
    over = f" on {len(completed)} of {len(completed) + len(lost)} seeds{list_failed_seeds(lost)}" if lost else ""
    parts = [f"best of the study by {metric}: {name_configuration(winner.number)}, {STAGES[stage]}{over}"]
    parts += [] if verdict.unconfirmed_reason is None else [f"not confirmed: {verdict.unconfirmed_reason}"]
    return build_compared_run(path, "; ".join(parts), STAGES[stage], config, completed, study, lost)


def find_best_known(verdict: Verdict, winner: Configuration) -> tuple[str, Runs, dict[int, str]]:
    """Return the last stage with runs of a configuration, these runs, and the failed seeds of this stage."""
    study = verdict.study
    for stage, trials, found in (("test", study.test, verdict.tested), ("confirm", study.confirm, verdict.confirmed)):
        if winner.number in found:
            again = found[winner.number]
            directories = {id(trial.result): trial.directory for trial in trials}  # a seed may have several attempts
            runs = {seed: (run, directories[id(run)]) for seed, run in again.runs.items()}
            return stage, runs, again.failed_seeds(verdict.metric)
    screened = [item for trial in winner.trials for item in trial.run_of_directory.items()]
    return TRIALS, {run.seed: (run, directory) for directory, run in screened}, winner.failed_seeds


def read_runs(result: TrialResult, directory: Path) -> Runs:
    """Return the runs of a result: the result itself, or one run per training seed."""
    if len(result.seeds) < 2:
        return {result.seed: (result, directory)}
    folders = {seed: directory / f"seed_{seed}" for seed in result.seeds}
    return {seed: (TrialResult.load(folder), folder) for seed, folder in folders.items()}


def build_compared_run(
    path: Path,
    what: str,
    stage: str | None,
    config: Mapping[str, Any],
    runs: Runs,
    study: Study | None = None,
    lost: Mapping[int, str] | None = None,
) -> ComparedRun:
    """Build one side from its config and its completed runs."""
    for result, directory in runs.values():
        check_numbers(result, directory)
    episodes = RecordedSettings.model_validate(config).training.evaluation_episodes
    if episodes is None:
        raise ConfigError(f"{path}: its config has no training.evaluation_episodes")
    settings = result_settings(config)
    seeds = {key: settings.pop(key, ABSENT) for key in SEEDS} | {"seed": sorted(runs)}
    curves: list[Curve] = []
    for seed, (_, directory) in sorted(runs.items()):
        try:
            curve, why = read_curve(directory / PROGRESS_CSV), f"{PROGRESS_CSV} is missing or empty"
        except CurveError as error:
            if study is None:
                raise
            curve, why = None, str(error)
        if curve is None:
            what += f"; no learning curve of seed {seed} ({why})"
        else:
            curves.append(curve)
    results = {seed: result for seed, (result, _) in runs.items()}
    return ComparedRun(path, what, stage, settings, seeds, results, episodes, curves, study, lost or {})


def check_numbers(result: TrialResult, directory: Path) -> None:
    """Check that all metrics of a result are finite numbers or None.

    Raises:
        ResultError: A metric is neither.
    """
    for name, value in result.metrics.items():
        if value is not None and not (isinstance(value, int | float) and math.isfinite(value)):
            raise ResultError(f"{directory / FILE_NAME}: {name}={value} is not a finite number")
