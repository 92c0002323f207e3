"""Reading of option files: what is wrong with one is said in one line, with the file, the line and its text."""

from pathlib import Path

from hydra._internal.core_plugins.file_config_source import FileConfigSource as HydrasFileConfigSource
from hydra._internal.sources_registry import SourcesRegistry
from hydra.errors import CompactHydraException
from hydra.plugins.config_source import ConfigResult
from omegaconf import DictConfig, OmegaConf
from yaml import MarkedYAMLError, YAMLError

from vbot_train.config.composition import join_lines

# Config groups whose options set keys of other groups. Without HEADER, Hydra puts these keys below the group's name.
GLOBAL_GROUPS = ("env", "experiment", "method", "search")
HEADER = "# @package _global_"
BYTE_ORDER_MARK = "\ufeff"


class FileConfigSource(HydrasFileConfigSource):
    """Hydra's reader of option files, with errors for the user. Hydra takes it for its own one by the name."""

    def load_config(self, config_path: str) -> ConfigResult:
        """Read an option file.

        Raises:
            CompactHydraException: The file is no option. Hydra prints the message without a traceback.
        """
        path = Path(self.path, self._normalize_file_name(config_path))
        text = read_text(path)
        try:
            result: ConfigResult = super().load_config(config_path)
        except MarkedYAMLError as error:
            raise CompactHydraException(f"{path}, {explain_yaml(error, text)}") from error
        except (OSError, ValueError, YAMLError) as error:  # one value, an invalid header, or a control character
            raise CompactHydraException(f"{path}: is no option ({join_lines(str(error))})") from error
        if not isinstance(result.config, DictConfig):
            raise CompactHydraException(f"{path}: is a list; an option has keys, each with a value")
        if not result.config:
            raise CompactHydraException(f"{path}: is empty; an option has keys, each with a value")
        if line := explain_option(config_path, result.config, result.header.get("package")):
            raise CompactHydraException(f"{path}: {line}")
        return result

    def is_config(self, config_path: str) -> bool:
        """Check whether there is such an option. Hydra's own reader fails if any file of the group ends in .yml."""
        return not config_path.endswith(".yml") and super().is_config(config_path)


def read_text(path: Path) -> str:
    """Return the text of an option file.

    Raises:
        CompactHydraException: It cannot be read, is not UTF-8, or has a byte order mark, which would hide its header.
    """
    try:
        data = path.read_bytes()
        text = data.decode()
    except OSError as error:
        raise CompactHydraException(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        byte = f"byte 0x{data[error.start]:02x}"
        raise CompactHydraException(f"{path}, line {line}: {byte} is not UTF-8; save the file as UTF-8") from error
    if text.startswith(BYTE_ORDER_MARK):
        raise CompactHydraException(f"{path}, line 1: begins with a byte order mark; save the file as UTF-8 without it")
    return text


def explain_option(config_path: str, content: DictConfig, package: str | None) -> str | None:
    """Return what is wrong with an option that Hydra would not explain; None if there is nothing.

    Args:
        config_path: Group and name of the option.
        content: Its keys.
        package: The package in its header; None without a header.
    """
    group, _, name = config_path.removesuffix(".yaml").rpartition("/")
    plain = OmegaConf.to_container(content, resolve=False)
    assert isinstance(plain, dict)
    listed, training = plain.get("defaults", []), plain.get("training")
    if not isinstance(listed, list):
        return f"defaults={listed}: must be a list"
    if name in listed:
        return f"its defaults include {name} itself"
    keys = [str(key) for line in listed if isinstance(line, dict) for key in line]
    overrides = [key for key in keys if key.startswith("override ")]
    if overrides and group in GLOBAL_GROUPS and package is None:
        return f"must begin with the line {HEADER}, as its defaults have {overrides[0]}"
    only_length = isinstance(training, dict) and training.keys() <= {"env_steps"}
    if training is not None and not only_length and group == "env" and package == "_global_":
        return f"training={training}: only env_steps counts here; an option of training sets the rest"
    return None


def explain_yaml(error: MarkedYAMLError, text: str) -> str:
    """Return the line with the error, what is wrong with it, and its text."""
    mark = error.problem_mark
    number, lines = 0 if mark is None else mark.line, text.splitlines()
    line = lines[number] if number < len(lines) else ""  # the end of the file
    what = "begins with a tab, indent with spaces" if line.lstrip(" ").startswith("\t") else error.problem
    return f"line {number + 1}: {what}" + (f": {line.strip()}" if line.strip() else "")


def read_options_with_clear_errors() -> None:
    """Let Hydra read option files with ``FileConfigSource`` in this process, which must be one of our own commands."""
    SourcesRegistry.instance().types[FileConfigSource.scheme()] = FileConfigSource
