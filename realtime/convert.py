"""The command `python -m realtime.convert`: converts a recording to a format that other programs read.

Not on the data path. realtime.recordings.convert contains its code.
"""

from realtime.recordings.convert.command import main
from realtime.stdio import run_main

__all__ = ["main"]

if __name__ == "__main__":
    run_main(main)
