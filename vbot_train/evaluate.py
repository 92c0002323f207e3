"""Evaluate a policy on held-out episodes, in any environment.

python -m vbot_train.evaluate outputs/RUN --episodes 1024 --env section001_far --video out.mp4
python -m vbot_train.evaluate outputs/RUN simulation=motrix
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from hydra.errors import CompactHydraException
from rich.console import Console

from vbot_train.config.composition import ConfigError
from vbot_train.config.folders import use_folders
from vbot_train.config.key_types import COUNT_BOUNDS, SEED_BOUNDS
from vbot_train.config.option_files import read_options_with_clear_errors
from vbot_train.config.validation import check_number
from vbot_train.evaluation.recorded import find_subject
from vbot_train.evaluation.video import check_video
from vbot_train.terminal import detach_from_terminal, name_command
from vbot_train.training.files import write_atomically


def main() -> None:
    """Measure a policy on held-out episodes: metrics, outcomes by start, reward by term."""
    arguments = build_parser().parse_intermixed_args()
    read_options_with_clear_errors()  # of conf/env/
    try:
        run(arguments)
    except (CompactHydraException, OSError) as error:
        raise SystemExit(str(error)) from None


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of the command line."""
    parser = argparse.ArgumentParser(prog=name_command("evaluate"), description=main.__doc__)
    what = "directory of a run or trial (its best checkpoint), a checkpoint, or an exported policy (.onnx)"
    parser.add_argument("run", type=Path, help=what)
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="KEY=VALUE",
        help="env.spawn.max_radius_m=8, evaluation.seed=7, simulation=motrix",
    )
    parser.add_argument("--episodes", type=int, default=1024)
    parser.add_argument("--seed", type=int, help="of the starts; default: the run's own evaluation.seed")
    parser.add_argument("--env", help="option of conf/env/; default: the run's own")
    parser.add_argument(
        "--config-dir",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="folder with options of yours, for --env",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there, too")
    parser.add_argument("--video", type=Path, metavar="FILE.mp4", help="film the first episodes")
    parser.add_argument("--video-episodes", type=int, default=4, metavar="N", help="how many; default: 4")
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Run the evaluation that the command line describes.

    Raises:
        ConfigError: The evaluation is not possible; nothing was evaluated.
    """
    check_arguments(arguments)
    use_folders(arguments.config_dir)
    seed = [] if arguments.seed is None else [f"evaluation.seed={arguments.seed}"]
    subject = find_subject(arguments.run, arguments.env, [*arguments.overrides, *seed])
    from vbot_train.evaluation.assessment import (  # imports torch and mujoco, so only after the checks above
        assess,
        build_tables,
    )

    console = Console(highlight=False)
    for note in subject.notes:
        console.print(f"{arguments.run}: {note}", markup=False, soft_wrap=True)
    filmed = min(arguments.video_episodes, arguments.episodes)
    found, film = assess(subject, arguments.episodes, filmed if arguments.video is not None else 0)
    for part in build_tables(found):
        console.print(part)
    if arguments.json is not None:
        write_atomically(arguments.json, json.dumps(asdict(found), indent=2) + "\n")
    if film is not None:
        film.write(arguments.video)
        console.print(f"video of the first {filmed} episodes: {arguments.video}", markup=False, soft_wrap=True)


def check_arguments(arguments: argparse.Namespace) -> None:
    """Raise a ConfigError for invalid arguments, before anything runs."""
    check_number("--episodes", arguments.episodes, COUNT_BOUNDS)
    check_number("--video-episodes", arguments.video_episodes, COUNT_BOUNDS)
    if arguments.seed is not None and any(given.startswith("evaluation.seed=") for given in arguments.overrides):
        raise ConfigError(f"--seed={arguments.seed}: evaluation.seed is given too, and is the same")
    if arguments.seed is not None:
        check_number("--seed", arguments.seed, SEED_BOUNDS)
    if arguments.json is not None and not arguments.json.absolute().parent.is_dir():
        raise ConfigError(f"--json={arguments.json}: there is no folder {arguments.json.parent}")
    if arguments.video is not None:
        check_video(arguments.video)


if __name__ == "__main__":
    detach_from_terminal()
    main()
