"""Films of episodes: how long they are, what is in the picture, and what is said where none can be made."""

import os
import subprocess
import sys

import imageio.v2 as imageio
import numpy as np
import pytest
import torch

from vbot_train.config.composition import ConfigError
from vbot_train.env.simulation import ROBOT_XML
from vbot_train.evaluation.assessment import Watched
from vbot_train.evaluation.held_out import evaluate
from vbot_train.evaluation.video import check_video, find_gl_library, write_video

UPSIDE_DOWN = torch.tensor([[3.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0] + [0.0, 0.9, -1.8] * 4])


@pytest.fixture
def out(tmp_path):
    """Where a film may go, on a machine that can draw."""
    try:
        check_video(tmp_path / "film.mp4")
    except ConfigError as error:
        pytest.skip(str(error))
    return tmp_path / "film.mp4"


def standing(frames):
    """A robot in its standing pose, 3 m west of the goal and facing it. Returns (frames, 19)."""
    return np.tile([-3.0, 0.0, 0.2774, 1.0, 0.0, 0.0, 0.0] + [0.0, 0.9, -1.8] * 4, (frames, 1))


def test_a_film_has_a_frame_per_pose_takes_the_old_ones_place_and_leaves_nothing_beside_it(out):
    out.write_text("an older film", encoding="utf-8")
    write_video(ROBOT_XML, [standing(3), standing(2)], out, frames_per_s=50.0)
    with imageio.get_reader(out) as film:
        assert film.count_frames() == 5
        assert film.get_meta_data()["fps"] == 50.0
        picture = film.get_data(0).astype(int)
    assert list(out.parent.iterdir()) == [out]
    red, green, blue = (picture[..., channel] for channel in range(3))
    head, goal = (red > green + 40) & (green > blue + 40), (green > red + 40) & (green > blue + 40)
    assert head.any() and goal.any()
    assert head.nonzero()[0].mean() > goal.nonzero()[0].mean()  # the goal lies behind the robot, so above it


def test_each_watched_robot_is_seen_until_its_first_episode_ends(make_env):
    env = make_env(3, episode_length_s=0.1)  # 5 control steps

    calls = iter(range(10))

    def policy(observation):
        if next(calls) == 2:  # before the third step
            env.simulation.place(torch.tensor([1]), UPSIDE_DOWN)
        return torch.zeros(3, 12)

    watched = Watched(policy, env, 2)
    episodes = evaluate(env, watched, seed=1)
    steps = (episodes.length_s / env.control_dt_s).round().long()
    assert steps.tolist() == [5, 3, 5]
    first, second = watched.list_poses(steps)
    assert (first.shape, second.shape) == ((5, 19), (3, 19))
    assert first[0, :2].norm().item() == pytest.approx(episodes.start_distance_m[0].item())
    assert second[0, :2].norm().item() == pytest.approx(episodes.start_distance_m[1].item())


def test_without_a_driver_to_draw_with_a_line_says_what_to_install(tmp_path):
    code = (
        "from pathlib import Path; from vbot_train.evaluation.video import check_video; check_video(Path('film.mp4'))"
    )
    env = os.environ | {"MUJOCO_GL": "egl", "__EGL_VENDOR_LIBRARY_DIRS": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    assert "--video: MuJoCo cannot draw here with MUJOCO_GL=egl (" in last
    assert "libegl1" in last and "MUJOCO_GL=osmesa" in last


def test_a_film_that_fails_leaves_the_older_one(out):
    out.write_text("an older film", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"film\.mp4: could not be filmed \(.*Error.*\)"):
        write_video(out.parent / "no_robot.xml", [standing(1)], out, frames_per_s=50.0)
    assert out.read_text(encoding="utf-8") == "an older film"
    assert list(out.parent.iterdir()) == [out]


def test_without_the_encoder_a_line_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setattr("vbot_train.evaluation.video.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"needs the extra `video`: pip install 'imageio\[ffmpeg\]>="):
        check_video(tmp_path / "film.mp4")


@pytest.mark.parametrize(
    ("chosen", "display", "platform", "library"),
    [
        ("osmesa", "", "linux", "osmesa"),
        ("", "", "linux", "egl"),
        ("", ":0", "linux", ""),
        ("", "", "darwin", ""),
    ],
)
def test_mujoco_draws_with_what_the_user_chose_else_with_egl_where_no_display_is(
    monkeypatch, chosen, display, platform, library
):
    monkeypatch.setenv("MUJOCO_GL", chosen)
    monkeypatch.setenv("DISPLAY", display)
    monkeypatch.setattr(sys, "platform", platform)
    assert find_gl_library() == library
