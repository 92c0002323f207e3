"""Run a chain whose trials train nothing: ``idle_chain.py KEY=VALUE ...``, in ``multirun/n`` of the current folder."""

import sys
from pathlib import Path

from conftest import compose_automl

from vbot_train.config.composition import CONF_DIR, ConfigError
from vbot_train.pipeline.chain import build_chain
from vbot_train.pipeline.command import Commands
from vbot_train.pipeline.run import ChainRun

IDLE = Path(__file__).parents[2] / "benchmarks" / "idle.py"


def main() -> None:
    """Run the chain to its end, or go on with it."""
    typed = [*sys.argv[1:], "name=n"]
    chain = build_chain(compose_automl(*typed), typed, [], CONF_DIR, Path("multirun"))
    try:
        ChainRun(chain, "the same line", Commands([sys.executable, str(IDLE)])).run()
    except ConfigError as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
