"""Names of the files and folders in the directories of a study and its trials."""

from pathlib import Path

STUDY_DB = "study.db"
STUDY_YAML = "study.yaml"
WORKERS = ".workers"  # files of the workers, apart from trials: their locks and the study's id
TRIALS, STAGES = "trials", ("confirm", "test")  # folders of the search's trials and of the later stages
HYDRA = ".hydra"  # in a trial's directory: Hydra's record
CONFIG_YAML = "config.yaml"  # in that folder: the resolved config
EXPERIMENT_YAML = "experiment.yaml"  # in a trial's directory: how to train it again
SETTINGS = (f"{HYDRA}/{CONFIG_YAML}", EXPERIMENT_YAML)


def locate_trial(folder: Path, number: int) -> Path:
    """Return the directory of a trial in the folder of its stage."""
    return folder / f"{number:03d}"


def name_stage(study: str, stage: str) -> str:
    """Return the storage name of a later stage's Optuna study; no user's study can have this name."""
    return f"{study}/{stage}"


def is_recorded(directory: Path) -> bool:
    """Check whether a trial's record is complete; if so, a resumed trial trains with exactly this config."""
    return (directory / HYDRA / CONFIG_YAML).is_file()
