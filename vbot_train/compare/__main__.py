"""``python -m vbot_train.compare``."""

from vbot_train.compare.compare_command import main

if __name__ == "__main__":
    main()
