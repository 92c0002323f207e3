"""``python -m vbot_train``: one training run, or with ``-m`` one search."""

import sys

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from vbot_train.config.composition import CONF_DIR, quote_option
from vbot_train.config.gone_keys import explain_gone_key
from vbot_train.signals import handle_stop_signals, quit_at_once
from vbot_train.terminal import detach_from_terminal

# The only objects that a config file may instantiate.
WHITELIST = ("vbot_train.search.callback.SearchCallback",)


@hydra.main(config_path=str(CONF_DIR), config_name="config", execution_whitelist=WHITELIST)
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


if __name__ == "__main__":
    detach_from_terminal()
    handle_stop_signals(quit_at_once)  # until a run or a search installs its own handlers
    if line := next(filter(None, map(explain_gone_key, sys.argv[1:])), None):
        sys.exit(line)
    sys.argv[1:] = map(quote_option, sys.argv[1:])
    main()
