"""``python -m vbot_train.compare``."""

from vbot_train.compare.compare_command import main
from vbot_train.terminal import detach_from_terminal

if __name__ == "__main__":
    detach_from_terminal()
    main()
