"""`python -m realtime.config` prints configs/default.yaml: every key with its description and its default."""

import sys

from realtime.config import commented_yaml

if __name__ == "__main__":
    sys.stdout.write(commented_yaml())
