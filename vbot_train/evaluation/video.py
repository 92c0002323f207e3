"""Videos of episodes, rendered by ``vbot_train.evaluation.film_renderer`` in a separate process."""

import io
import os
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vbot_train.config.composition import ConfigError
from vbot_train.extras import format_install
from vbot_train.training.files import replace_atomically


def check_video(out: Path) -> None:
    """Check that a video can be made, before anything runs.

    Raises:
        ConfigError: The file cannot be written, a package is missing, or MuJoCo cannot render.
    """
    if out.suffix != ".mp4":
        raise ConfigError(f"--video={out}: must end in .mp4")
    if not out.parent.is_dir():
        raise ConfigError(f"--video={out}: there is no folder {out.parent}")
    if find_spec("imageio") is None or find_spec("imageio_ffmpeg") is None:
        raise ConfigError(f"--video: needs the extra `video`: {format_install('video')}")
    if fault := _render():
        raise ConfigError(
            f"--video: MuJoCo cannot draw here with MUJOCO_GL={find_gl_library() or 'unset'} ({fault}); install EGL"
            " (Debian: libegl1) and set MUJOCO_GL=egl, or OSMesa (libosmesa6) and set MUJOCO_GL=osmesa"
        )


def write_video(robot_xml: Path, episodes: Sequence[NDArray[Any]], out: Path, *, frames_per_s: float) -> None:
    """Render episodes, one after the other, into one video that replaces ``out``.

    Args:
        robot_xml: MuJoCo model of the robot.
        episodes: One array (frames, 7 + J) per episode, as in ``Simulation.qpos``.
        out: Path of the mp4 file.
        frames_per_s: Frames per second [1/s].

    Raises:
        ConfigError: The renderer failed.
    """
    buffer = io.BytesIO()
    np.savez(buffer, *episodes)
    with replace_atomically(out) as temporary:
        if fault := _render(str(robot_xml), str(temporary), "--fps", str(frames_per_s), given=buffer.getvalue()):
            raise ConfigError(f"--video={out}: could not be filmed ({fault})")


def _render(*arguments: str, given: bytes = b"") -> str | None:
    """Run the renderer. Returns the last line of its error output if it failed, else None."""
    env = os.environ | {"MUJOCO_GL": find_gl_library()}
    command = [sys.executable, "-m", "vbot_train.evaluation.film_renderer", *arguments]
    done = subprocess.run(command, input=given, capture_output=True, env=env)
    if done.returncode == 0:
        return None
    said = done.stderr.decode(errors="replace").strip().splitlines()
    return said[-1] if said else f"exit code {done.returncode}"


def find_gl_library() -> str:
    """Return the value for MUJOCO_GL: the user's, else EGL on Linux without a display; empty is MuJoCo's default."""
    headless = sys.platform == "linux" and not os.environ.get("DISPLAY")
    return os.environ.get("MUJOCO_GL") or ("egl" if headless else "")
