"""The config of a recorded run, which may be of another version, as an evaluation reads it."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from vbot_train.config.composition import CONF_DIR, ConfigError, compose_config, look_up, to_plain
from vbot_train.config.folders import OwnFolders
from vbot_train.config.gone_keys import explain_gone_key
from vbot_train.config.keys import list_keys
from vbot_train.config.schema import RecordedConfig
from vbot_train.config.validation import validate

CHANGEABLE = ("env.", "evaluation.", "simulation.")
FILLED = ("env", "ppo", "simulation")  # groups whose new keys have a default that changes nothing for an older run


def validate_recorded(
    config: Mapping[str, Any], env_option: str | None = None, overrides: Sequence[str] = ()
) -> RecordedConfig:
    """Return what an evaluation reads of a run's recorded config, possibly with another environment and other values.

    Args:
        config: The recorded config, of any version. Keys that are unknown now are dropped (``list_unknown_keys``); keys
            that are new since then get the value of today's default.
        env_option: Option of ``conf/env/``; None keeps the run's own environment.
        overrides: ``KEY=VALUE`` for keys of the groups in ``CHANGEABLE``, applied last; before them
            ``simulation=OPTION``, which replaces that group.

    Raises:
        ConfigError: Describes the first missing option or key or invalid value.
    """
    completed = _complete(config)
    if env_option is not None:
        completed["env"] = _compose_option("env", env_option, f"--env={env_option}")
    options = [override for override in overrides if override.startswith("simulation=")]
    for option in options:
        chosen = _compose_option("simulation", option.removeprefix("simulation="), option)
        completed["simulation"] = _read_warp_settings() | chosen
    values = [override for override in overrides if override not in options]
    return validate(RecordedConfig, _apply_overrides(completed, values))


def _complete(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the groups that an evaluation reads, with the keys of this version."""
    now, unknown = compose_config(), list_unknown_keys(config)
    now["simulation"] = _read_warp_settings() | now["simulation"]  # so that a run on MuJoCo can be evaluated on Warp
    then = {name: _drop(config[name], unknown, name) for name in RecordedConfig.model_fields if name in config}
    return {name: _fill(now[name], content) if name in FILLED else content for name, content in then.items()}


def _fill(now: dict[str, Any], then: Any) -> Any:
    """Return a recorded group with the keys that it lacks; unchanged if it is damaged, or of another task."""
    if not isinstance(then, Mapping) or then.get("task", now.get("task")) != now.get("task"):
        return then
    return to_plain(DictConfig(OmegaConf.merge(now, then)))


def list_unknown_keys(config: Mapping[str, Any]) -> list[str]:
    """Return the keys of a run's recorded config that an evaluation would read, but the schema does not have."""
    groups = [name for name in RecordedConfig.model_fields if name in config]
    return [key for name in groups for key in _find_unknown(name, config[name])]


def _find_unknown(name: str, content: Any) -> Iterator[str]:
    if name not in list_keys():
        yield name
    elif list_keys()[name].models and isinstance(content, Mapping):
        for inner, value in content.items():
            yield from _find_unknown(f"{name}.{inner}", value)


def _drop(content: Any, unknown: Collection[str], name: str) -> Any:
    """Return a group, in plain containers, without the unknown keys."""
    if not isinstance(content, Mapping):
        return content
    inner = {f"{name}.{key}": key for key in content}
    return {key: _drop(content[key], unknown, full) for full, key in inner.items() if full not in unknown}


def _compose_option(group: str, option: str, argument: str) -> dict[str, Any]:
    folders = (CONF_DIR, *OwnFolders.folders)
    options = sorted(path.stem for folder in folders for path in (folder / group).glob("*.yaml"))
    if option not in options:
        raise ConfigError(f"{argument}: no such option, choose one of {', '.join(options)}")
    composed: dict[str, Any] = compose_config([f"{group}={option}"])[group]
    return composed


def _read_warp_settings() -> dict[str, Any]:
    """Return the settings of ``simulation.backend=warp``, which other options do not have."""
    option = OmegaConf.load(CONF_DIR / "simulation" / "warp.yaml")
    assert isinstance(option, DictConfig)
    return {key: value for key, value in to_plain(option).items() if key != "defaults"}


def _apply_overrides(config: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    for override in overrides:
        key, assigned, _ = override.partition("=")
        if not assigned or not key.startswith(CHANGEABLE):
            names = ", ".join(f"{group}KEY=VALUE" for group in CHANGEABLE)
            raise ConfigError(f"{override}: an evaluation changes {names}, simulation=OPTION, nothing else")
        try:
            whole = isinstance(look_up(config, key), Mapping)
        except KeyError:
            raise ConfigError(explain_gone_key(override) or f"{override}: no such key") from None
        if whole:
            raise ConfigError(f"{override}: change one value at a time, {key}.KEY=VALUE")
        config = _with(config, override)
    return config


def _with(config: dict[str, Any], override: str) -> dict[str, Any]:
    try:
        merged = OmegaConf.merge(config, OmegaConf.from_dotlist([override]))
        assert isinstance(merged, DictConfig)
        return to_plain(merged)
    except (ConfigError, OmegaConfBaseException, YAMLError):
        raise ConfigError(f"{override}: not a value") from None
