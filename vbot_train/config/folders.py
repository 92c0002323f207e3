"""Folders of options on the command line: ``--config-dir``, a user's own, and ``--config-path``, a copy of conf/.

Hydra searches a ``--config-dir`` after conf/, and says nothing about a file there that it never reads.
"""

from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

from hydra._internal.utils import get_args_parser
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import OmegaConf

from vbot_train.config.composition import CONF_DIR, CONFIG_NAME, PACKAGE, ConfigError
from vbot_train.config.option_files import read_options_with_clear_errors

PRIMARY = f"{CONFIG_NAME}.yaml"
PATH_OPTIONS = ("--config-path", "-cp")


class OwnFolders(SearchPathPlugin):
    """A user's folders of options that Hydra itself does not add: it knows the last ``--config-dir`` only."""

    folders: ClassVar[list[Path]] = []

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Add the folders after conf/."""
        for folder in self.folders:
            search_path.append("command-line", f"file://{folder.absolute()}")


def apply_folders(arguments: Sequence[str]) -> list[str]:
    """Check the folders that a command line names, and prepare Hydra for them.

    Args:
        arguments: The command line.

    Returns:
        The command line with an absolute ``--config-path``: Hydra takes a relative one from the folder of our code.

    Raises:
        ConfigError: There is no such folder, or an option in it would be ignored.
    """
    given = build_parser().parse_intermixed_args(arguments)
    path: str | None = given.config_path
    own = [Path(folder) for folder in dict.fromkeys(given.config_dir)]
    if given.experimental_rerun is not None:
        refuse_other_folders(Path(given.experimental_rerun), path, own)
    is_folder = path is None or "://" not in path  # pkg:// is Hydra's own notation
    main = CONF_DIR if path is None or not is_folder else Path(path)
    if given.config_name is None and not (main / PRIMARY).is_file():
        raise ConfigError(f"--config-path={path}: there is no {PRIMARY} in it; the command init makes a copy of ours")
    use_folders(own, main)
    OwnFolders.folders = own[:-1]
    return make_path_absolute(arguments) if is_folder else list(arguments)


def use_folders(own: Sequence[Path], main: Path = CONF_DIR) -> None:
    """Check a user's folders of options, and let Hydra find their options.

    Args:
        own: The folders.
        main: The folder with the primary config, which is searched first.

    Raises:
        ConfigError: There is no such folder, or an option in it would be ignored.
    """
    read_options_with_clear_errors()
    refuse_hidden_options(main, own)
    OwnFolders.folders = list(own)
    Plugins.instance().register(OwnFolders)


def build_parser() -> ArgumentParser:
    """Build Hydra's own parser, which takes the last ``--config-dir`` only, so that it takes each."""
    parser = ArgumentParser(parents=[get_args_parser()], add_help=False, conflict_handler="resolve")
    parser.add_argument("--config-dir", "-cd", action="append", default=[])
    return parser


def make_path_absolute(arguments: Sequence[str]) -> list[str]:
    """Return the arguments, with the path of ``--config-path`` made absolute."""
    changed = list(arguments)
    for place, (before, argument) in enumerate(pairwise(["", *arguments])):
        option, is_whole, path = argument.partition("=")
        if before in PATH_OPTIONS:
            changed[place] = str(Path(argument).absolute())
        elif option in PATH_OPTIONS and is_whole:
            changed[place] = f"{option}={Path(path).absolute()}"
    return changed


def refuse_hidden_options(main: Path, own: Sequence[Path]) -> None:
    """Check that Hydra can find each option of a user's own folders: it takes the first of a name.

    Raises:
        ConfigError: There is no such folder, or an option has the name of one in a folder that comes first.
    """
    first = dict.fromkeys(list_options(main, main), main)
    for folder in own:
        if not folder.is_dir():
            raise ConfigError(f"--config-dir={folder}: there is no such folder")
        if not any((folder / group).is_dir() for group in list_groups(main)) and not (folder / PRIMARY).is_file():
            raise ConfigError(f"--config-dir={folder}: has no folder of a config group: {', '.join(list_groups(main))}")
        options = list(list_options(folder, main))
        if PRIMARY in options:
            raise ConfigError(
                f"--config-dir={folder}: is a copy of conf/, with its {PRIMARY}; use --config-path={folder}"
            )
        for option in options:
            if option.endswith(".yml"):
                raise ConfigError(f"{folder / option}: would be ignored; its name must end in .yaml")
            if option in first:
                raise ConfigError(f"{folder / option}: would be ignored for {first[option] / option}; rename the file")
        first.update(dict.fromkeys(options, folder))


def list_options(folder: Path, main: Path) -> Iterator[str]:
    """Yield the options in a folder, as relative paths; ``main`` has the config groups."""
    places = [path for group in list_groups(main) for path in sorted((folder / group).rglob("*.y*ml"))]
    return (path.relative_to(folder).as_posix() for path in (folder / PRIMARY, *places) if path.is_file())


def list_groups(main: Path) -> list[str]:
    """Return the config groups, which are the folders beside the primary config, and Hydra's own."""
    return sorted({path.name for path in main.iterdir() if path.is_dir()} | {"hydra"})


def refuse_other_folders(run_dir: Path, path: str | None, own: Sequence[Path]) -> None:
    """Check that a run to be repeated is composed from the folders that it was composed from.

    Args:
        run_dir: The run's directory.
        path: Value of ``--config-path``.
        own: Values of ``--config-dir``.

    Raises:
        ConfigError: It is no run, or a folder is not given again.
    """
    record = run_dir / ".hydra" / "hydra.yaml"
    if not record.is_file():
        raise ConfigError(f"--experimental-rerun={run_dir}: not the directory of a run ({record} is missing)")
    again = {folder.absolute() for folder in own}
    for source in OmegaConf.select(OmegaConf.load(record), "hydra.runtime.config_sources") or []:
        folder, took = Path(source.path), f"--experimental-rerun={run_dir}: took options from {source.path}"
        if source.provider == "command-line" and folder.absolute() not in again:
            raise ConfigError(f"{took}; add --config-dir {folder}")
        ours = [place / "__init__.py" for place in (folder.parent, folder.parent / PACKAGE.name)]  # of any installation
        is_own = (folder / PRIMARY).is_file() and not any(file.is_file() for file in ours)
        if source.provider == "main" and path is None and is_own:
            raise ConfigError(f"{took}; add --config-path {folder}")
