"""Exported policies: ONNX files that hold, as metadata, the config that it takes to evaluate them.

Imports neither torch nor mujoco, and onnxruntime, which is of an optional extra, only to open a file.
"""

import json
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from vbot_train.config.composition import ConfigError
from vbot_train.extras import format_install

SUFFIX = ".onnx"
SCHEMA_VERSION = "vbot-policy/v1"  # under the key ``schema_version``; all other values are JSON
INPUT, OUTPUT = "observation", "action"  # names in the graph
PACKAGES = ("onnx", "onnxruntime", "onnxscript")  # of the extra ``export``


def is_exported(path: Path) -> bool:
    """Check, by its name, whether a path is that of an exported policy; a run's directory may have any name."""
    return path.suffix == SUFFIX and not path.is_dir()


def check_extra(path: Path, packages: Sequence[str] = PACKAGES) -> None:
    """Check that packages of the extra ``export`` are installed.

    Raises:
        ConfigError: One is missing. The message begins with ``path``, for which it is needed.
    """
    if any(find_spec(package) is None for package in packages):
        raise ConfigError(f"{path}: needs the extra `export`: {format_install('export')}")


def open_session(model: bytes) -> Any:
    """Open an ONNX model as an ``onnxruntime.InferenceSession`` on one thread of the CPU.

    Raises:
        Exception: One of many types: the model is damaged.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    providers = ["CPUExecutionProvider"]  # nothing to fall back to; the attempt would be printed
    return onnxruntime.InferenceSession(model, options, providers=providers, enable_fallback=0)


def open_exported(path: Path) -> Any:
    """Open an exported policy; see ``open_session``.

    Raises:
        ConfigError: The file does not exist, it is damaged, or a package is missing.
    """
    check_extra(path, ["onnxruntime"])
    if not path.is_file():
        raise ConfigError(f"{path}: there is no such file")
    try:
        return open_session(path.read_bytes())
    except Exception as error:  # onnxruntime raises many exception types for a bad file
        raise ConfigError(f"{path}: not an ONNX file, or damaged ({_first_line(error)})") from error


def read_metadata(path: Path) -> dict[str, Any]:
    """Return the metadata of an exported policy; the key ``config`` has the config of its training.

    Raises:
        ConfigError: The file cannot be opened, or was not written by ``export``.
    """
    session = open_exported(path)
    try:
        texts = session.get_modelmeta().custom_metadata_map
        version = texts.pop("schema_version", None)
        metadata = {key: json.loads(text) for key, text in texts.items()} if version == SCHEMA_VERSION else {}
    except ValueError as error:  # not UTF-8, or not JSON
        raise ConfigError(f"{path}: its metadata is damaged ({_first_line(error)})") from error
    if version != SCHEMA_VERSION:
        found = "no schema_version" if version is None else f"schema_version {version}"
        raise ConfigError(f"{path}: has {found} in its metadata; export writes {SCHEMA_VERSION}")
    if not isinstance(metadata.get("config"), dict):
        raise ConfigError(f"{path}: its metadata is damaged (no config)")
    return metadata


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
