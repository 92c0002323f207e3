"""Write the policy of a checkpoint to an ONNX file, with all that it takes to run it elsewhere.

python -m vbot_train.export outputs/RUN policy.onnx
"""

import argparse
import shlex
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hydra.errors import CompactHydraException
from rich.console import Console

from vbot_train.config.composition import ConfigError
from vbot_train.config.option_files import read_options_with_clear_errors
from vbot_train.evaluation.exported import PACKAGES, SUFFIX, check_extra
from vbot_train.evaluation.recorded import find_run
from vbot_train.study.provenance import describe_provenance
from vbot_train.terminal import detach_from_terminal, name_command


def main() -> None:
    """Write observation scaler and mean action of a checkpoint to one ONNX graph, described by its metadata."""
    arguments = build_parser().parse_args()
    read_options_with_clear_errors()
    try:
        run(arguments)
    except (CompactHydraException, OSError) as error:
        raise SystemExit(str(error)) from None


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of the command line."""
    parser = argparse.ArgumentParser(prog=name_command("export"), description=main.__doc__)
    parser.add_argument("run", type=Path, help="directory of a run or trial (its best checkpoint), or a checkpoint")
    parser.add_argument("out", type=Path, metavar=f"FILE{SUFFIX}", help="is replaced if it exists")
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Run the export that the command line describes.

    Raises:
        ConfigError: The export is not possible; nothing was written.
    """
    check_out(arguments.out)
    check_extra(arguments.out)
    found = find_run(arguments.run)
    from vbot_train.evaluation.export import COMPARED, export_policy  # imports torch and mujoco, so only now

    console = Console(highlight=False, markup=False, soft_wrap=True)
    if found.note is not None:
        console.print(f"{arguments.run}: {found.note}")
    error = export_policy(found, arguments.out, describe_code())
    console.print(f"{arguments.out}: the policy of {found.checkpoint}")
    console.print(
        f"largest difference of an action from the checkpoint's: {error:.1e} (over {COMPARED:,} observations)"
    )
    console.print(f"measure it: {name_command('evaluate')} {shlex.quote(arguments.out.as_posix())}")


def describe_code() -> dict[str, Any]:
    """Return the revision of the code that exports, and the versions of its packages."""
    ours = describe_provenance()
    return {"revision": ours["revision"], "versions": ours["versions"] | {name: version(name) for name in PACKAGES}}


def check_out(out: Path) -> None:
    """Check the name of the file to write.

    Raises:
        ConfigError: It cannot be written under that name.
    """
    if out.suffix != SUFFIX:
        raise ConfigError(f"{out}: must end in {SUFFIX}")
    if not out.absolute().parent.is_dir():
        raise ConfigError(f"{out}: there is no folder {out.parent}")
    if out.is_dir():
        raise ConfigError(f"{out}: is a folder")


if __name__ == "__main__":
    detach_from_terminal()
    main()
