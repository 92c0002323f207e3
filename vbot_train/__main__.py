"""``python -m vbot_train``: one training run, or with ``-m`` one search."""

import sys

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from vbot_train.config.composition import CONF_DIR, CONFIG_NAME, ConfigError, quote_option
from vbot_train.config.folders import apply_folders
from vbot_train.config.gone_keys import explain_gone_key
from vbot_train.extras import explain_missing_launcher
from vbot_train.signals import handle_stop_signals, quit_at_once
from vbot_train.terminal import detach_from_terminal

# The only objects that a config file may instantiate.
WHITELIST = ("vbot_train.search.callback.SearchCallback",)


@hydra.main(config_path=str(CONF_DIR), config_name=CONFIG_NAME, execution_whitelist=WHITELIST)
def main(config: DictConfig) -> None:
    """Train one configuration, or run one worker of a search as a job of a Hydra launcher.

    Trials of a search do not start here: a worker spawns ``vbot_train.training.trial``.
    """
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        from vbot_train.search.launched import run_worker
        from vbot_train.search.spec import count_workers

        run_worker(count_workers(config.workers, config.simulation))
    else:
        from vbot_train.training.single import run_single

        run_single(config)


def read_command_line() -> None:
    """Check what Hydra would ignore or not understand, and rewrite the arguments for it.

    Raises:
        SystemExit: With one line about what to type instead.
    """
    for argument in sys.argv[1:]:
        if line := explain_gone_key(argument) or explain_missing_launcher(argument):
            sys.exit(line)
    try:
        sys.argv[1:] = map(quote_option, apply_folders(sys.argv[1:]))
    except ConfigError as error:
        sys.exit(str(error))


def run() -> None:
    """Run the command line."""
    detach_from_terminal()
    handle_stop_signals(quit_at_once)  # until a run or a search installs its own handlers
    read_command_line()
    main()


if __name__ == "__main__":
    run()
