"""What is done with the final policy: measured by start, filmed, exported. Each is an ordinary command line."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path

from vbot_train.extras import format_install
from vbot_train.pipeline.chain import Chain
from vbot_train.pipeline.report import OUTCOMES, VIDEO
from vbot_train.pipeline.schema import Train

POLICY = "policy.onnx"
NEEDS = (
    (OUTCOMES, None, ""),
    (POLICY, "onnxscript", "export"),
    (VIDEO, "imageio_ffmpeg", "video"),
)  # file, package, extra


def find_final(chain: Chain) -> Path | None:
    """Return the directory of the chain's last training; None if it has none."""
    trainings = [step for step in chain.steps if isinstance(step.stage, Train)]
    return chain.locate(trainings[-1]) if trainings else None


def list_commands(chain: Chain) -> Iterator[tuple[str, list[str], Path]]:
    """Yield the commands for the final policy: name, arguments, and the file that each writes."""
    final = find_final(chain)
    if final is None:
        return
    run = final.as_posix()
    outcomes, policy, video = (chain.directory / name for name in (OUTCOMES, POLICY, VIDEO))
    yield "evaluate", [run, "--json", outcomes.as_posix()], outcomes
    if importlib.util.find_spec("onnxscript") is not None:
        yield "export", [run, policy.as_posix()], policy
    if importlib.util.find_spec("imageio_ffmpeg") is not None:
        yield "evaluate", [run, "--episodes", "4", "--video", video.as_posix()], video


def list_missing(chain: Chain) -> Iterator[str]:
    """Yield a line about each file of the final policy that is missing, and what it takes."""
    if find_final(chain) is None:
        return
    for name, package, extra in NEEDS:
        if not (chain.directory / name).exists():
            lacks = package is not None and importlib.util.find_spec(package) is None
            yield f"There is no {name}: " + (f"it needs {format_install(extra)}." if lacks else "its command failed.")
