# SPDX-License-Identifier: MIT
"""`python -m realtime.dashboard` and `realtime-pose dashboard`."""

from realtime.dashboard.command import main
from realtime.stdio import run_main

if __name__ == "__main__":
    run_main(main)
