"""The rendering process: ``python -m vbot_train.evaluation.film_renderer [ROBOT.xml OUT.mp4] < EPISODES.npz``.

MuJoCo loads its OpenGL library at import, and some drivers crash instead of raising an error. Rendering therefore runs
in a separate process, whose exit code and error output ``vbot_train.evaluation.video`` checks.
"""

import argparse
import io
import math
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

import imageio.v2 as imageio
import mujoco
import numpy as np
from numpy.typing import ArrayLike, NDArray

WIDTH, HEIGHT = 640, 368  # [pixel], multiples of 16 for the encoder
POLE_M = (0.03, 1.5)  # radius and height of a pole that marks the goal, up to 11 m away
GREY, GREEN = [0.4, 0.42, 0.47, 1.0], [0.2, 0.6, 0.3, 1.0]
Floats = NDArray[np.float64]


def build_scene(robot_xml: Path) -> mujoco.MjModel:
    """Build the robot's model with visuals that the physics does not need: sky, light, goal pole, connected body."""
    spec = mujoco.MjSpec.from_file(str(robot_xml))
    spec.visual.quality.offsamples = 0  # without a GPU, antialiasing and shadows take 90 % of the time
    spec.visual.headlight.ambient = [0.35, 0.35, 0.35]
    spec.lights[0].castshadow = False
    sun = spec.worldbody.add_light(type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL, dir=[0.4, 0.3, -1])
    sun.diffuse, sun.castshadow = [0.5, 0.5, 0.5], False
    spec.add_texture(
        type=mujoco.mjtTexture.mjTEXTURE_SKYBOX,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_GRADIENT,
        rgb1=[0.65, 0.78, 0.92],
        rgb2=[0.95, 0.96, 0.98],
        width=256,
        height=256,
    )
    _paint(spec.worldbody, [0, 0, 0], [0, 0, POLE_M[1]], POLE_M[0], GREEN)
    _dress(spec)
    return spec.compile()


def _dress(spec: mujoco.MjSpec) -> None:
    """Add visual links between the robot's parts; the physics model has only the shapes that touch the ground first."""
    hips = [spec.body(f"{leg}_hip") for leg in ("FR", "FL", "RR", "RL")]
    base = spec.body("base")
    _paint(base, hips[0].pos * [1, 0, 1], hips[2].pos * [1, 0, 1], 0.05, GREY)
    _paint(base, [0.1, 0, 0.05], [0.18, 0, 0.15], 0.035, GREY)  # the neck
    for hip in hips:
        thigh = hip.bodies[0]
        calf = thigh.bodies[0]
        _paint(hip, [0, 0, 0], thigh.pos, 0.025, GREY)
        _paint(thigh, [0, 0, 0], calf.pos, 0.016, GREY)
        _paint(calf, [0, 0, 0], calf.bodies[0].pos, 0.012, GREY)


def _paint(body: mujoco.MjsBody, start_m: ArrayLike, end_m: ArrayLike, radius_m: float, rgba: list[float]) -> None:
    """Add a capsule without mass and collisions."""
    body.add_geom(
        type=mujoco.mjtGeom.mjGEOM_CAPSULE,
        fromto=np.concatenate([start_m, end_m]),
        size=[radius_m, 0, 0],
        rgba=rgba,
        mass=0,
        contype=0,
        conaffinity=0,
    )


def render_frames(
    model: mujoco.MjModel, renderer: mujoco.Renderer, episodes: Iterable[Floats]
) -> Iterator[NDArray[np.uint8]]:
    """Yield an image (HEIGHT, WIDTH, 3) per pose; the camera follows the robot and looks from the start to the goal."""
    data = mujoco.MjData(model)
    camera = mujoco.MjvCamera()
    camera.type = mujoco.mjtCamera.mjCAMERA_TRACKING
    camera.trackbodyid = model.body("base").id
    camera.distance, camera.elevation = 2.5, -20.0
    for poses in episodes:
        camera.azimuth = math.degrees(math.atan2(-poses[0, 1], -poses[0, 0]))
        for pose in poses:
            data.qpos[:] = pose
            mujoco.mj_forward(model, data)
            renderer.update_scene(data, camera)
            yield renderer.render()


def render_film(robot_xml: Path, out: Path, frames_per_s: float) -> None:
    """Render the episodes read from standard input into a video."""
    episodes = np.load(io.BytesIO(sys.stdin.buffer.read()), allow_pickle=False)
    model = build_scene(robot_xml)
    with (
        mujoco.Renderer(model, HEIGHT, WIDTH) as renderer,
        closing(imageio.get_writer(out, fps=frames_per_s)) as writer,
    ):
        for picture in render_frames(model, renderer, (episodes[name] for name in episodes.files)):
            writer.append_data(picture)


def main() -> None:
    """Render the episodes read from standard input into a video; without arguments, test whether rendering works."""
    parser = argparse.ArgumentParser(prog="python -m vbot_train.evaluation.film_renderer", description=main.__doc__)
    parser.add_argument("robot_xml", type=Path, nargs="?")
    parser.add_argument("out", type=Path, nargs="?")
    parser.add_argument("--fps", type=float, default=50.0)
    arguments = parser.parse_args()
    if arguments.out is not None:
        render_film(arguments.robot_xml, arguments.out, arguments.fps)
    else:
        with mujoco.Renderer(mujoco.MjSpec().compile()) as renderer:
            renderer.render()


if __name__ == "__main__":
    main()
