"""``python -m vbot_train.status``."""

from vbot_train.status.status_command import main

if __name__ == "__main__":
    main()
