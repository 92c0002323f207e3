"""Hours in, a tested policy out: a chain of searches and trainings.

python -m vbot_train.automl budget_hours=12 hp_trials=8 reward_generations=3
"""

import sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import CompactHydraException, HydraException
from omegaconf import DictConfig

from vbot_train.config.composition import CONF_DIR, ConfigError, quote_option, to_plain
from vbot_train.config.folders import apply_folders, build_parser, use_folders
from vbot_train.config.gone_keys import explain_gone_key
from vbot_train.signals import handle_stop_signals, quit_at_once
from vbot_train.terminal import detach_from_terminal

CONFIG_NAME = "automl"
PIPELINES = CONF_DIR / "pipeline"
MULTIRUN = Path("multirun")
WHITELIST = ("hydra.experimental.callback.Callback",)


@hydra.main(config_path=str(CONF_DIR), config_name=CONFIG_NAME, execution_whitelist=WHITELIST)
def main(config: DictConfig) -> None:
    """Run a chain, or go on with it."""
    from vbot_train.pipeline.chain import build_chain
    from vbot_train.pipeline.command import Commands
    from vbot_train.pipeline.run import ChainRun
    from vbot_train.study.errors import StudyError

    try:
        given = build_parser().parse_intermixed_args(sys.argv[1:])
        own, conf_dir = [Path(folder) for folder in given.config_dir], Path(given.config_path or CONF_DIR)
        use_folders(own, conf_dir)
        typed = list(HydraConfig.get().overrides.task)
        chain = build_chain(to_plain(config), typed, own, conf_dir, MULTIRUN)
        run = ChainRun(chain, format_command(chain.name), Commands())
        run.show_lines() if chain.config.search.dry_run else run.run()
    except (CompactHydraException, StudyError, OSError) as error:
        raise SystemExit(str(error)) from error


def format_command(name: str) -> str:
    """Return the line that goes on with a chain: the one that was typed, with the chain's name."""
    from vbot_train.pipeline.lines import format_line

    kept = [argument for argument in sys.argv[1:] if not argument.startswith("name=")]
    return format_line([*kept, f"name={name}"], "automl")


def read_mode(arguments: list[str]) -> list[str]:
    """Return the arguments with ``pipeline=`` in place of ``mode=``.

    Raises:
        ConfigError: There is no such mode, or a pipeline is named too.
    """
    modes = [argument for argument in arguments if argument.startswith("mode=")]
    if not modes:
        return arguments
    folders = [
        PIPELINES,
        *(Path(folder) / "pipeline" for folder in build_parser().parse_known_args(arguments)[0].config_dir),
    ]
    options = sorted(path.stem for folder in folders for path in folder.glob("*.yaml"))
    if modes[-1].removeprefix("mode=") not in options:
        raise ConfigError(f"{modes[-1]}: choose one of {', '.join(options)}")
    if any(argument.startswith("pipeline=") for argument in arguments):
        raise ConfigError(f"{modes[-1]}: pipeline= is given too, and is the same")
    return [argument.replace("mode=", "pipeline=", 1) if argument in modes else argument for argument in arguments]


def is_range(argument: str) -> bool:
    """Check whether an argument gives several values to a key, as a search takes them."""
    try:
        return OverridesParser.create().parse_override(argument).is_sweep_override()
    except HydraException:  # an option, or one that Hydra will explain
        return False


def run() -> None:
    """Run the command line."""
    detach_from_terminal()
    handle_stop_signals(quit_at_once)
    for argument in sys.argv[1:]:
        if line := explain_gone_key(argument):
            sys.exit(line)
        if argument in ("-m", "--multirun"):
            sys.exit(f"{argument}: automl runs one chain; its stages are searches of their own")
        if argument.lstrip("+~").startswith(("hydra.", "hydra/")):
            sys.exit(f"{argument}: the lines of a chain set their own folders; nothing of hydra is handed on to them")
        if is_range(argument):
            sys.exit(f"{argument}: give one value; ranges belong to an option of search/, which a stage names")
    try:
        sys.argv[1:] = map(quote_option, read_mode(apply_folders(sys.argv[1:])))
    except ConfigError as error:
        sys.exit(str(error))
    main()


if __name__ == "__main__":
    run()
