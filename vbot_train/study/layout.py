"""What a study's directory and its trials' directories hold, by name."""

from pathlib import Path

STUDY_DB = "study.db"
STUDY_YAML = "study.yaml"
WORKERS = ".workers"  # what workers leave, but for trials: their locks, and the study's id
TRIALS, STAGES = "trials", ("confirm", "test")  # folders of a study's trials, and of what is trained after them
HYDRA = ".hydra"  # of a trial: Hydra's record
CONFIG_YAML = "config.yaml"  # in there: the config, resolved
EXPERIMENT_YAML = "experiment.yaml"  # of a trial: how to train it again
SETTINGS = (f"{HYDRA}/{CONFIG_YAML}", EXPERIMENT_YAML)


def locate_trial(folder: Path, number: int) -> Path:
    """Where a trial writes, in the folder of its stage."""
    return folder / f"{number:03d}"


def name_stage(study: str, stage: str) -> str:
    """Name, in the storage, of the study that holds a later stage's trainings; no user's study can have it."""
    return f"{study}/{stage}"


def is_recorded(directory: Path) -> bool:
    """Whether a trial's record is whole; then a trial that is continued trains on just that."""
    return (directory / HYDRA / CONFIG_YAML).is_file()
