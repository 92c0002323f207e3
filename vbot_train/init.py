"""Copy conf/, for those who want to edit more than options of their own.

vbot-train init [FOLDER]
"""

import argparse
import shlex
import shutil
import tempfile
from pathlib import Path

from vbot_train.config.composition import CONF_DIR
from vbot_train.terminal import detach_from_terminal, name_command


def main() -> None:
    """Copy conf/ into a folder. The copy is used where --config-path names it, and nowhere else."""
    parser = argparse.ArgumentParser(prog=name_command("init"), description=main.__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=Path(), help="default: the current folder")
    target = parser.parse_args().folder / CONF_DIR.name
    try:
        copy_conf(target)
    except OSError as error:
        raise SystemExit(f"{target}: cannot be written ({error.strerror or error})") from None
    line = f"{name_command()} --config-path {shlex.quote(target.as_posix())}"
    print(f"every option is now in {target}; to use them: {line} -m search=quick")  # noqa: T201 - the command's output


def copy_conf(target: Path) -> None:
    """Copy conf/ as a whole or not at all.

    Raises:
        SystemExit: The target exists.
        OSError: The disk is full, or the folder cannot be written to.
    """
    if target.parent.exists() and not target.parent.is_dir():
        raise SystemExit(f"{target.parent}: is not a folder")
    if target.exists():
        raise SystemExit(f"{target}: exists, and is not overwritten")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".", dir=target.parent) as beside:
        copy = Path(beside) / target.name
        shutil.copytree(CONF_DIR, copy, copy_function=shutil.copyfile)  # not its permissions: it may be read-only
        copy.rename(target)


if __name__ == "__main__":
    detach_from_terminal()
    main()
