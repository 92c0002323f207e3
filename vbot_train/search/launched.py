"""A loop that a Hydra launcher started, as one job of several: the same command line again, with one worker."""

import subprocess
import sys
from pathlib import Path

from hydra.core.hydra_config import HydraConfig

from vbot_train.config import ConfigError
from vbot_train.search.study import read_record


def run_loop() -> None:
    """Work on the study that this job's sweep directory holds.

    Raises:
        SystemExit: With the exit code of the loop, unless that is 0.
    """
    node = HydraConfig.get()
    directory = Path(node.sweep.dir)
    record = read_record(directory)
    if record is None:
        raise ConfigError(f"hydra.sweep.dir={directory}: holds no study")
    last = record.get("resumed", [record])[-1]["command"]
    place = [f"hydra.sweep.dir={directory}", f"study={directory.name}", "resume=continue"]
    arguments = [*last[1:], *place, "hydra/launcher=basic", "workers=1"]
    done = subprocess.run([sys.executable, "-m", "vbot_train", *arguments], cwd=node.runtime.cwd, check=False)
    if done.returncode:
        raise SystemExit(done.returncode)
