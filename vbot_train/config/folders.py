"""Folders of options on the command line: ``--config-dir``, a user's own, and ``--config-path``, a copy of conf/.

Hydra searches a ``--config-dir`` after conf/, and says nothing about a file there that it never reads.
"""

from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
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


class EarlierFolders(SearchPathPlugin):
    """All but the last ``--config-dir``; Hydra itself knows the last one only."""

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
    read_options_with_clear_errors()
    given = build_parser().parse_intermixed_args(arguments)
    path: str | None = given.config_path
    if path is not None and "://" in path:  # pkg://, Hydra's own notation
        return list(arguments)
    main = CONF_DIR if path is None else Path(path)
    if given.config_name is None and not (main / PRIMARY).is_file():
        raise ConfigError(f"--config-path={path}: there is no {PRIMARY} in it; the command init makes a copy of ours")
    if path is None and given.experimental_rerun is not None:
        refuse_other_path(Path(given.experimental_rerun))
    own = [Path(folder) for folder in dict.fromkeys(given.config_dir)]
    refuse_hidden_options(main, own)
    EarlierFolders.folders = own[:-1]
    Plugins.instance().register(EarlierFolders)
    return [make_path_absolute(argument, path) for argument in arguments]


def build_parser() -> ArgumentParser:
    """Build Hydra's own parser, which takes the last ``--config-dir`` only, so that it takes each."""
    parser = ArgumentParser(parents=[get_args_parser()], add_help=False, conflict_handler="resolve")
    parser.add_argument("--config-dir", "-cd", action="append", default=[])
    return parser


def make_path_absolute(argument: str, path: str | None) -> str:
    """Return an argument, with the path in it made absolute if it is ``--config-path``'s."""
    if path is None or not (argument == path or (argument.startswith("-") and argument.endswith(f"={path}"))):
        return argument
    return argument.removesuffix(path) + str(Path(path).absolute())


def refuse_hidden_options(main: Path, own: Sequence[Path]) -> None:
    """Check that Hydra can find each option of a user's own folders: it takes the first of a name.

    Raises:
        ConfigError: There is no such folder, or an option has the name of one in a folder that comes first.
    """
    first = dict.fromkeys(list_options(main, main), main)
    for folder in own:
        if not folder.is_dir():
            raise ConfigError(f"--config-dir={folder}: there is no such folder")
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
    groups = [path.name for path in main.iterdir() if path.is_dir()]
    found = [folder / PRIMARY, *(path for group in sorted(groups) for path in sorted((folder / group).rglob("*.y*ml")))]
    return (path.relative_to(folder).as_posix() for path in found if path.is_file())


def refuse_other_path(run_dir: Path) -> None:
    """Check that a run to be repeated was composed from our conf/.

    Raises:
        ConfigError: It was composed from a user's copy, which is still there. Ours may have other values.
    """
    record = run_dir / ".hydra" / "hydra.yaml"
    sources = OmegaConf.select(OmegaConf.load(record), "hydra.runtime.config_sources") if record.is_file() else None
    for path in [Path(source.path) for source in sources or [] if source.provider == "main"]:
        ours = [folder / "__init__.py" for folder in (path.parent, path.parent / PACKAGE.name)]  # of any installation
        if (path / PRIMARY).is_file() and not any(file.is_file() for file in ours):
            raise ConfigError(f"--experimental-rerun={run_dir}: took its options from {path}; add --config-path {path}")
